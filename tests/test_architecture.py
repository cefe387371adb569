"""The architecture's words name things that exist."""

import ast
import re
from pathlib import Path

import pytest

from proxy.config.available import unavailable
from proxy.config.load import load

PROXY = Path(__file__).parents[1] / "proxy"
TEXT = (PROXY / "ARCHITECTURE.md").read_text()
STAGES = {"upstream": "forward", "edge": "edge"}
"""What a folder's modules are called as writers; those of ``policies`` by their names."""


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


def writers():
    """Every place of a stage that writes a field of an exchange: which, and who."""
    for folder in ("policies", *STAGES):
        for path in (PROXY / folder).glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                is_write = isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
                if is_write and re.fullmatch(r"(.*[._])?x", ast.unparse(node.value)):
                    yield node.attr.replace("body", "_body"), STAGES.get(folder, path.stem)


def test_whoever_writes_a_field_of_the_exchange_is_named_in_its_comment():
    source = (PROXY / "core" / "exchange.py").read_text().partition("class Exchange:")[2]
    named, above = {}, ""
    for line in source.partition("    def ")[0].splitlines():
        code, _, comment = line.strip().partition("# ")
        if field := re.match(r"(\w+): ", code):
            named[field[1]] = set(re.findall(r"\w+", (above + comment).partition(";")[0]))
        above = comment if not code else ""
    unnamed = {
        (field, writer)
        for field, writer in writers()
        if field in named and not {writer, "any"} & named[field]
    }

    assert len(named) > 50
    assert unnamed == set()
