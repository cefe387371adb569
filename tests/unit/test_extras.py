"""What a configuration asks for and this installation has not."""

import pytest

from proxy import embedding
from proxy.config.load import load
from proxy.config.nodes import ConfigError
from proxy.extras import lacking, lacking_here
from tests.semantic import tiny

CONFIG = """\
upstreams: {{a: {{base_url: "http://a/v1"}}}}
routes: [{{name: r, targets: [{{upstream: a}}], cache: answers}}]
cache:
  answers: {{semantic: {{mode: shadow, embed: {embed}}}}}
"""


def lacks(tmp_path, embed):
    path = tmp_path / "c.yaml"
    path.write_text(CONFIG.format(embed=embed))
    return [str(p).removeprefix(str(tmp_path) + "/") for p in lacking(load(path, {}).settings)]


@pytest.fixture
def has_nothing(monkeypatch):
    monkeypatch.setattr(embedding, "find_spec", dict[str, object]().get)


def test_what_is_here_is_not_lacking(tmp_path):
    (tmp_path / "minilm").mkdir()

    assert lacks(tmp_path, "{model: minilm}") == []
    assert lacks(tmp_path, "{upstream: a, model: e}") == []


@pytest.mark.usefixtures("has_nothing")
@pytest.mark.parametrize("embed", ["{model: minilm}", "{upstream: a, model: e}"])
def test_a_package_that_is_not_here_is_named_with_what_to_install(tmp_path, embed):
    (said,) = lacks(tmp_path, embed)

    assert said.startswith("c.yaml:4:")
    assert "$.cache.answers.semantic.embed: needs the package numpy" in said
    assert said.endswith("pip install 'sidestream[semantic]'")


def test_a_model_that_cannot_be_used_is_told_by_check(tmp_path):
    lacks(tmp_path, "{model: minilm}")

    with pytest.raises(ConfigError, match=rf"embed.model: {tmp_path}/minilm: no such folder"):
        lacking_here(load(tmp_path / "c.yaml", {}).settings)
    tiny.write(tmp_path / "minilm")
    assert lacking_here(load(tmp_path / "c.yaml", {}).settings) == []
