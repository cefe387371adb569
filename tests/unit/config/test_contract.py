"""The contract loads unchanged, and what is made from the schema is fresh."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.available import unavailable
from proxy.config.document import json_schema, reference
from proxy.config.load import load
from proxy.config.nodes import ConfigError
from proxy.wire.kept import ABOUT_ITS_TEXT, ABOUT_THE_REQUEST

CONFIG = Path(__file__).parents[3] / "config"
ENV = {"OPENAI_API_KEY": "sk-secret-value"}


def contract():
    return load(CONFIG / "sidestream.yaml", ENV, lambda _: True)


def test_the_contract_loads_and_means_what_it_says():
    settings = contract().settings

    assert settings.upstreams["openai"].api_key.reveal() == "sk-secret-value"
    assert settings.upstreams["local"].concurrency.queue_timeout == 5
    assert settings.routes[1].targets[0].weight == 90
    assert settings.limits["standard"].requests.amount == 600
    assert settings.limits["standard"].budgets[0].usd == 50 * 10**9
    assert settings.limits["standard"].budgets[0].on_exceeded.route_to == "gpt-4o-mini"
    assert settings.routes[0].match.input_tokens.sign == ">"
    assert settings.cache["answers"].semantic.threshold == 0.95
    assert settings.tenants["acme"].keys[0].digest[:2] == bytes.fromhex("2bb8")
    assert settings.tenants["acme"].keys[1].digest == b""


def test_a_secret_is_never_shown():
    shown = repr(contract()) + str(contract().settings) + f"{contract().settings.upstreams}"

    assert "sk-secret-value" not in shown


def test_every_setting_in_use_that_is_not_acted_on_is_named():
    named = {p.path for p in unavailable(contract().settings)}

    for path in ("routes[1].hedge", "routes[1].rollback",
                 "upstreams.openai.breaker"):  # fmt: skip
        assert f"$.{path}" in named


def test_a_section_that_nothing_uses_does_no_harm(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(
        "upstreams: {a: {base_url: http://a/v1}, b: {base_url: http://b/v1, pace: true}}\n"
        "routes: [{name: r, targets: [{upstream: a}]}]\n"
        "limits: {x: {concurrency: 1}}\ncache: {c: {}}\nguards: {g: {kind: patterns, pack: injection}}\n"
        "redaction: {r: {detect: [email]}}\n"
    )

    assert unavailable(load(path, {}).settings) == []


def test_the_schema_takes_the_contract_and_refuses_a_misspelt_one():
    class Loader(yaml.SafeLoader):
        """As editors read it, in YAML 1.2: dates stay text, `on` is a word."""

    Loader.yaml_implicit_resolvers = {
        k: [r for r in v if "timestamp" not in r[0] and not (k in "oOyYnN" and "bool" in r[0])]
        for k, v in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    document = yaml.load((CONFIG / "sidestream.yaml").read_text(), Loader)
    validator = jsonschema.Draft202012Validator(json_schema())

    assert [e.message for e in validator.iter_errors(document)] == []
    assert list(validator.iter_errors({**document, "rutes": []}))


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("schema.json", json_schema),
        ("reference.md", reference),
    ],
)
def test_what_is_generated_is_not_stale(name, made):
    text = (CONFIG / name).read_text()

    assert (json.loads(text) if name.endswith("json") else text) == made(), "run make generate"


def test_the_default_serves_loopback_without_any_environment():
    settings = load(None, {}).settings

    assert settings.listen.is_loopback
    assert settings.tenants["everyone"].anonymous
    assert unavailable(settings) == []


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda _: None, "No such file"),
        (lambda p: p.mkdir(), "Is a directory"),
        (lambda p: p.write_bytes(b"\xff\xfe"), "not UTF-8"),
        (lambda p: p.write_text(""), "empty"),
        (lambda p: p.write_text("# only a comment\n"), "empty"),
        (lambda p: p.write_text("a: 1\n---\nb: 2\n"), "second document"),
        (lambda p: p.write_text("a: \x07\n"), "does not allow"),
        (lambda p: p.write_text("[" * 5000), ""),
    ],
)
def test_a_file_that_cannot_be_read_is_one_clear_problem(tmp_path, write, message):
    path = tmp_path / "c.yaml"
    write(path)

    with pytest.raises(ConfigError) as caught:
        load(path, {})

    assert message in str(caught.value)
    assert len(caught.value.problems) == 1


@given(st.text(max_size=200) | st.from_regex(r"(\w+: [\[{]?[\w, ]*[\]}]?\n){0,6}", fullmatch=True))
def test_no_text_raises_anything_but_problems(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("c") / "c.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")

    with pytest.raises(ConfigError):
        load(path, {})


def test_the_reference_says_which_refusals_a_cache_keeps():
    row = next(line for line in reference().splitlines() if line.startswith("| `negative`"))

    for word in (*ABOUT_THE_REQUEST, *ABOUT_ITS_TEXT):
        assert f"`{word}`" in row.replace("`type: ", "`").replace("`code: ", "`")
