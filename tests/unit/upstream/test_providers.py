"""What is different at each provider, as tables."""

import orjson
import pytest

from proxy.upstream.providers import PROVIDERS, salts

CHAT = "/v1/chat/completions"


@pytest.mark.parametrize(
    ("kind", "base", "path", "query", "line"),
    [
        ("openai", "/v1", CHAT, "", "/v1/chat/completions"),
        ("openai", "/v1", "/v1/responses/resp_1", "stream=true", "/v1/responses/resp_1?stream=true"),
        ("openai", "", CHAT, "", "/v1/chat/completions"),
        ("groq", "/openai/v1", CHAT, "", "/openai/v1/chat/completions"),
        ("gemini", "/v1beta/openai", CHAT, "", "/v1beta/openai/chat/completions"),
        ("azure", "/openai/v1", CHAT, "", "/openai/v1/chat/completions"),
        ("azure", "", CHAT, "", "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"),
        ("azure", "/openai", CHAT, "api-version=2025-01-01",
         "/openai/deployments/gpt-4o/chat/completions?api-version=2025-01-01"),
        ("vllm", "/v1", "/tokenize", "", "/tokenize"),
        ("vllm", "/v1", "/v1/rerank", "", "/v1/rerank"),
        ("generic", "/api/v1", "/pooling", "", "/api/pooling"),
    ],
)  # fmt: skip
def test_paths(kind, base, path, query, line):
    assert PROVIDERS[kind].path_for(base, path, query, "gpt-4o") == line


@pytest.mark.parametrize("model", ["../../admin", "a/b", "a?b", "a#b", "a b", "..", "é", ""])
def test_a_model_cannot_leave_its_segment_of_an_azure_path(model):
    path = PROVIDERS["azure"].path_for("", CHAT, "", model)

    head, tail = path.removeprefix("/openai/deployments/").split("/", 1)
    assert head
    assert head.strip(".")
    assert tail == "chat/completions?api-version=2024-10-21"


def test_keys_go_where_the_provider_looks():
    assert PROVIDERS["openai"].auth_headers("k") == [(b"authorization", b"Bearer k")]
    assert PROVIDERS["azure"].auth_headers("k") == [(b"api-key", b"k")]
    assert PROVIDERS["anthropic"].auth_headers("k")[1][0] == b"anthropic-version"
    assert PROVIDERS["vllm"].auth_headers("") == []


def test_vllms_old_guided_fields_become_what_replaced_them():
    body = {"model": "m", "guided_json": {"a": 1}, "guided_choice": ["x"], "priority": 1}

    fit = PROVIDERS["vllm"].body_for(body)

    assert fit == {"model": "m", "structured_outputs": {"json": {"a": 1}, "choice": ["x"]}}
    assert "priority" in body


def test_a_body_that_is_fine_is_the_same_object():
    body = {"model": "m"}

    assert PROVIDERS["vllm"].body_for(body) is body
    assert PROVIDERS["openai"].body_for(body) is body


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"error": "Unauthorized"}, {"message": "Unauthorized", "type": "invalid_request_error",
                                     "param": None, "code": None}),
        ({"error": {"message": "m", "type": "t", "param": None, "code": 404}},
         {"message": "m", "type": "t", "param": None, "code": "model_not_found"}),
    ],
)  # fmt: skip
def test_vllms_errors_become_openais(given, error):
    status = 401 if isinstance(given["error"], str) else 404

    assert orjson.loads(PROVIDERS["vllm"].normalise_error(status, orjson.dumps(given))) == {
        "error": error
    }


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b'"x"', b'{"error":{"code":"x"}}', b"<html>"]
)
def test_other_errors_are_left_alone(body):
    assert PROVIDERS["vllm"].normalise_error(500, body) is body
    assert PROVIDERS["openai"].normalise_error(500, body) is body


def test_salts_are_stable_and_each_tenants_own():
    one, again, other = salts("k"), salts("k"), salts("k2")

    assert one("acme") == again("acme")
    assert len({one("acme"), one("beta"), other("acme")}) == 3
