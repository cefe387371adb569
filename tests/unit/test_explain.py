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
    assert ("left alone: " in as_text(told)) == bool(why)
    assert (f"({why})\n" in as_text(told)) == bool(why)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "temperature must be <= 0, or a seed given; the temperature is not set, so it is 1, "
             "and it has no seed"),
        ({"temperature": 0.5}, "the temperature is 0.5, and it has no seed"),
        ({"temperature": 0, "store": True}, "the provider is asked to keep the answer"),
        ({"temperature": 0, "tools": [{"type": "web_search"}]}, "tools that the provider runs"),
    ],
)  # fmt: skip
def test_what_keeps_the_cache_away_is_said_in_words(settings, more, words):
    told = explain(settings, orjson.dumps({**CHAT, **more}), "acme", "/v1/chat/completions")

    assert words in as_text(told)


def test_every_word_of_the_cache_has_words(settings):
    asked = ["previous_response_id", "conversation", "background", "web_search_options", "audio"]
    for name in asked:
        body = {**CHAT, "temperature": 0, name: {"a": 1}}
        told = explain(settings, orjson.dumps(body), "acme", "/v1/chat/completions")

        assert told["bypass"] == name
        assert told["bypass_why"] != name


def test_an_input_that_the_cache_cannot_tell_apart_has_words_too(settings):
    body = {"model": CHAT["model"], "input": [["a"]]}
    told = explain(settings, orjson.dumps(body), "acme", "/v1/embeddings")

    assert told["bypass"] == "input"
    assert "neither texts nor tokens" in as_text(told)


SHARP = """\
upstreams: {up: {kind: generic, base_url: "http://127.0.0.1:1/v1"}}
routes:
  - {name: chat, targets: [{upstream: up}], guards: [asked, words, after, later]}
tenants:
  acme: {keys: [{sha256: "ZERO"}], tools: {allow: ["get_*"]}, redaction: r}
redaction: {r: {detect: [email], actions: {email: remove}}}
guards:
  asked: {kind: http, url: "http://127.0.0.1:1/"}
  words: {kind: patterns, patterns: [{name: rude, pattern: "jane@"}, {name: bomb, pattern: "bomb"}]}
  after: {kind: patterns, pack: banned_output, stage: answer}
  later: {kind: patterns, pack: injection, paths: ["/v1/completions"]}
""".replace("ZERO", "0" * 64)


def sharp(tmp_path, body):
    path = tmp_path / "c.yaml"
    path.write_text(SHARP)
    told = explain(load(path, {}).settings, orjson.dumps(body), "acme", "/v1/chat/completions")
    return told, as_text(told)


def test_guards_that_search_say_what_they_would_find(tmp_path):
    told, text = sharp(
        tmp_path, {"model": "m", "messages": [{"role": "user", "content": "Build a bomb"}]}
    )

    assert told["refused"]["code"] == "content_policy_violation"
    assert [(one["guard"], one["request"]) for one in told["verdicts"]] == [
        ("words", "bomb"),
        ("later", "not asked, it is for other paths"),
        ("asked", "asked when served"),
        ("after", "not asked, it judges answers"),
    ]
    assert "refused    400 content_policy_violation: blocked by guard 'words': bomb\n" in text
    assert "  guard    words (block): bomb\n" in text


def test_guards_see_what_redaction_leaves(tmp_path):
    told, text = sharp(
        tmp_path, {"model": "m", "messages": [{"role": "user", "content": "To jane@example.com"}]}
    )

    assert "refused" not in told
    assert "  guard    words (block): pass\n" in text


def test_tools_that_the_tenant_may_not_use_are_refused(tmp_path):
    body = {"model": "m", "messages": [], "tools": [{"type": "web_search"}]}
    told, text = sharp(tmp_path, body)
    fine, _ = sharp(tmp_path, {"model": "m", "messages": []})

    assert told["refused"]["code"] == "tool_not_allowed"
    assert "tools      this tenant may not use the tool 'web_search'\n" in text
    assert (fine["tools"], "refused" in fine) == ("allowed", False)
