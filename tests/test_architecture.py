"""The architecture's words name things that exist."""

import re
from pathlib import Path

import pytest

from proxy.config.available import unavailable
from proxy.config.load import load

PROXY = Path(__file__).parents[1] / "proxy"
TEXT = (PROXY / "ARCHITECTURE.md").read_text()


def test_the_readmes_configuration_is_good(tmp_path):
    readme = (PROXY.parent / "README.md").read_text()
    path = tmp_path / "sidestream.yaml"
    path.write_text(readme.split("```yaml\n")[1].split("```")[0])

    loaded = load(path, {"OPENAI_API_KEY": "sk-1"})

    assert unavailable(loaded.settings) == []
    assert [note.path for note in loaded.notes] == ["$.tenants.acme.keys[0].file"]


def test_it_is_short():
    assert len(TEXT.splitlines()) <= 150


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`((?:\w+/)*\w+\.py)`", TEXT))))
def test_every_module_it_names_exists(name):
    root = PROXY.parent if name.startswith("tests/") else PROXY

    assert (root / name).is_file()


def test_every_stage_of_the_program_is_in_the_picture():
    source = (PROXY / "app.py").read_text()
    stages = re.findall(r"^\s+(?:\w+ = )?(\w+)Policy\(", source, re.MULTILINE)

    assert [s.lower() for s in stages] == re.findall(r"\w+", TEXT.split("```")[1].splitlines()[1])[
        :-1
    ]
