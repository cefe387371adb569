"""Each golden file: a configuration, a line of dashes, the problems it has."""

from pathlib import Path

import pytest

from proxy.config.load import load
from proxy.config.nodes import ConfigError

FOLDER = Path(__file__).parents[2] / "golden" / "config"
ENV = {"KEY": "sk-1", "SECRET_PORT": "sk-very-secret"}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda p: p.stem)
def test_golden(path, tmp_path):
    text, _, expected = path.read_text().partition("\n----------\n")
    file = tmp_path / "c.yaml"
    file.write_text(text + "\n")

    with pytest.raises(ConfigError) as caught:
        load(file, ENV)

    found = str(caught.value).replace(str(file), "c.yaml").replace(str(tmp_path), "DIR")
    assert found == expected.rstrip("\n")
    assert "very-secret" not in found
