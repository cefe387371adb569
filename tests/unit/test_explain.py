"""What ``sidestream explain`` says."""

import orjson
import pytest

from proxy.config.load import load
from proxy.explain import NoRequest, as_text, explain

CONFIG = """\
upstreams: {up: {kind: generic, base_url: "http://127.0.0.1:1/v1"}}
routes:
  - {name: long, match: {input_tokens: ">1000"}, targets: [{upstream: up}]}
  - {name: chat, match: {model: chat}, targets: [{upstream: up, model: m}], guards: [g], cache: c}
tenants:
  acme: {keys: [{sha256: "ZERO"}], models: [chat], limits: l, redaction: r}
  other: {keys: [{sha256: "ONE"}]}
limits: {l: {requests: 5/min, max_input_tokens: 100}}
redaction: {r: {detect: [email]}}
guards: {g: {kind: patterns, pack: injection}}
cache: {c: {}}
""".replace("ZERO", "0" * 64).replace("ONE", "1" * 64)
CHAT = {"model": "chat", "messages": [{"role": "user", "content": "Ask jane@example.com"}]}


@pytest.fixture
def settings(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(CONFIG)
    return load(path, {}).settings


def test_everything_a_request_would_meet_and_why_not_the_rest(settings):
    told = explain(settings, orjson.dumps(CHAT), "acme", "/v1/chat/completions")

    assert (told["route"], told["targets"], told["guards"], told["cache"]) == (
        "chat",
        ["up/m"],
        ["g"],
        "c",
    )
    assert told["not"][0]["what"] == "route long"
    assert told["limits"]["bounds"][0]["shown"] == "5 requests a minute"
    assert told["limits"]["max_input_tokens"] == 100
    assert told["redaction"]["found"] == [{"kind": "email", "action": "pseudonymise", "count": 1}]
    assert "jane" not in str(told)
    assert "redaction  r: 1 email (pseudonymise)" in as_text(told)


def test_a_refusal_is_explained(settings):
    told = explain(settings, orjson.dumps(CHAT | {"model": "x"}), "acme", "/v1/chat/completions")

    assert told["refused"]["code"] == "model_not_allowed"
    assert "refused    403 model_not_allowed" in as_text(told)


@pytest.mark.parametrize(
    ("tenant", "path"),
    [("", "/v1/chat/completions"), ("no", "/v1/chat/completions"), ("acme", "/x")],
)
def test_without_a_tenant_or_a_path_there_is_nothing_to_explain(settings, tenant, path):
    with pytest.raises(NoRequest):
        explain(settings, orjson.dumps(CHAT), tenant, path)


def test_what_is_no_request_is_refused_as_it_would_be(settings):
    assert (
        explain(settings, b"{", "other", "/v1/chat/completions")["refused"]["code"]
        == "invalid_json"
    )


@pytest.mark.parametrize(
    ("more", "why"),
    [({"temperature": 0}, ""), ({}, "when"), ({"temperature": 0, "store": True}, "store")],
)
def test_why_the_cache_would_leave_it_alone(settings, more, why):
    told = explain(settings, orjson.dumps({**CHAT, **more}), "acme", "/v1/chat/completions")

    assert told["bypass"] == why
    assert (f"left alone: {why}" in as_text(told)) == bool(why)
