import subprocess
import sys
from pathlib import Path

import pytest

from proxy.config.load import load
from proxy.config.nodes import ConfigError
from proxy.embedding import NEEDS_EXTRA, Embedders, folder_of, open_model
from proxy.observe.semantic import SemanticMeter
from tests.semantic import tiny

ROOT = Path(__file__).parents[2]
CONFIG = """\
version: 1
upstreams:
  main: {kind: generic, base_url: "http://127.0.0.1:1/v1"}
routes:
  - {name: one, match: {model: "a*"}, targets: [{upstream: main}], cache: here}
  - {name: two, match: {model: "b*"}, targets: [{upstream: main}], cache: there}
  - {name: three, targets: [{upstream: main}], cache: off}
cache:
  here: {semantic: {embed: {model: MODEL}}}
  there: {semantic: {embed: {upstream: main, model: small}}}
  off: {semantic: {mode: "off", embed: {model: nowhere}}}
  unused: {semantic: {embed: {model: nowhere}}}
"""
UPSTREAMS = {"main": type("Named", (), {"name": "main"})()}


@pytest.fixture
def settings(tmp_path):
    def read(model="model"):
        path = tmp_path / "sidestream.yaml"
        path.write_text(CONFIG.replace("MODEL", model))
        return load(path, {}).settings

    return read


@pytest.fixture
def embedders():
    made = Embedders(lambda: 0.0, SemanticMeter())
    yield made
    made.close()


async def test_each_cache_in_use_has_who_embeds_for_it(tmp_path, settings, embedders):
    """The model lies beside the configuration."""
    tiny.write(tmp_path / "model")

    made = embedders.by_cache(settings(), UPSTREAMS)

    assert made.keys() == {"here", "there"}
    assert made["here"].ident.startswith("onnx:")
    assert made["there"].ident == "main/small"
    assert len((await made["here"].embed(["how do i"], 10))[0]) == 4 * tiny.WIDTH


async def test_a_model_outlives_a_reload_until_its_files_change(tmp_path, settings, embedders):
    tiny.write(tmp_path / "model")
    before = embedders.by_cache(settings(), UPSTREAMS)["here"]
    embedders.adopt()
    kept = embedders.by_cache(settings(), UPSTREAMS)["here"]
    tiny.write(tmp_path / "model", tiny.bert())
    after = embedders.by_cache(settings(), UPSTREAMS)["here"]

    assert kept._embedder is before._embedder
    assert after._embedder is not before._embedder
    assert await before.embed(["how"], 10) != await after.embed(["how"], 10) is not None


async def test_a_reload_that_is_refused_leaves_the_model_in_force(tmp_path, settings, embedders):
    tiny.write(tmp_path / "model")
    before = embedders.by_cache(settings(), UPSTREAMS)["here"]
    embedders.adopt()
    (tmp_path / "model" / "tokenizer.json").unlink()
    with pytest.raises(ConfigError):
        embedders.by_cache(settings(), UPSTREAMS)

    assert [*embedders._models.values()] == [before._embedder]


def test_a_model_that_cannot_be_loaded_is_a_problem_with_a_place(tmp_path, settings, embedders):
    with pytest.raises(ConfigError) as refused:
        embedders.by_cache(settings(), UPSTREAMS)

    (problem,) = refused.value.problems
    assert str(problem).startswith(f"{tmp_path}/sidestream.yaml:9:")
    assert problem.path == "$.cache.here.semantic.embed.model"
    assert problem.message.startswith(f"{tmp_path / 'model'}: no such folder")


def test_a_model_may_say_all_of_where_it_lies(settings):
    assert folder_of(settings("/srv/model").cache["here"].semantic.embed) == Path("/srv/model")


def test_without_the_extra_it_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "proxy.encoders.onnx", raising=False)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    with pytest.raises(ValueError, match="onnxruntime") as refused:
        open_model(tiny.write(tmp_path))
    assert str(refused.value).startswith(NEEDS_EXTRA)
    assert "pip install 'sidestream[semantic]'" in NEEDS_EXTRA


def test_nothing_of_the_extra_is_imported_before_it_is_asked_for():
    script = (
        "import sys, proxy.__main__, proxy.app, proxy.embedding\n"
        "print([m for m in ('numpy', 'onnxruntime', 'tokenizers') if m in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert ran.stdout == "[]\n"
