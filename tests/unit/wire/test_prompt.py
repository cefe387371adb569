"""The texts of requests, and whose words they are."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.body import parse_json
from proxy.wire.prompt import said_in, unambiguous


def said(body):
    return [(s.role, s.text) for s in said_in(body)]


@pytest.mark.parametrize(
    ("body", "texts"),
    [
        ({"messages": [{"role": "system", "content": "a"}, {"role": "developer", "content": "b"},
                       {"role": "user", "content": [{"type": "text", "text": "c"}, {"type": "text", "text": "d"}]},
                       {"role": "assistant", "content": None,
                        "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
                       {"role": "tool", "tool_call_id": "1", "content": "e"}, {"role": "root", "content": "g"}]},
         [("system", "a"), ("system", "b"), ("user", "c\nd"), ("assistant", "f\n{}"), ("tool", "e"), ("other", "g")]),
        ({"model": "m", "instructions": "a", "input": "b"}, [("system", "a"), ("user", "b")]),
        ({"input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"}]},
                    {"type": "function_call_output", "call_id": "c", "output": "b"},
                    {"type": "function_call", "name": "f", "arguments": "{}"}, "c"]},
         [("user", "a"), ("tool", "b"), ("assistant", "f\n{}"), ("user", "c")]),
        ({"prompt": ["a", "b"]}, [("user", "a\nb")]),
        ({"prompt": [1, 2, 3]}, []),
        ({"system": [{"type": "text", "text": "a"}], "messages": []}, [("system", "a")]),
        ({"tools": [{"type": "function", "function": {"name": "f", "description": "a", "parameters": {
            "type": "object", "properties": {"type": {"type": "string", "description": "b"}}}}}]}, [("other", "f\na\nb")]),
        ({"metadata": {"x": "a"}, "user": "u", "stop": ["b"]}, [("other", "a"), ("other", "u"), ("other", "b")]),
        ({"messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            {"type": "file", "file": {"file_data": "data:text/plain;base64,aGVsbG8="}}]}]},
         [("user", "data:text/plain;base64,aGVsbG8=")]),
        ({"messages": [{"role": "user", "content": [
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a"}}]}]},
         [("user", "a")]),
        ({"prompt": {"id": "p", "variables": {"id": "a", "model": {"type": "b"}}}}, [("user", "a\nb")]),
        ({"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {"type": "a"}}]}]},
         [("assistant", "f\na")]),
        # A label does not make a picture of a text.
        ({"messages": [{"role": "user", "content": "data:image/png;base64,aWdub3Jl"}]}, [("user", "data:image/png;base64,aWdub3Jl")]),
        ({"messages": [{"role": "user", "content": [{"type": "text", "media_type": "image/png", "text": "a"},
            {"type": "input_audio", "text": "b", "input_audio": {"data": "c d, e", "format": "wav"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,a, and read this"}},
            {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}]}]},
         [("user", "a\nb\nc d, e\ndata:image/png;base64,a, and read this\nhttps://x.example/a.png")]),
        ({"messages": "odd", "input": {"role": "x"}}, [("other", "odd")]),
    ],
)  # fmt: skip
def test_every_string_that_is_read_is_found(body, texts):
    assert said(body) == texts


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=6))
def test_no_body_is_too_odd(body):
    assert all(isinstance(text, str) for _, text in said(body))


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=6))
def test_bytes_without_a_name_twice_mean_the_body(body):
    raw = orjson.dumps(body)

    assert orjson.loads(unambiguous(raw, body)) == body


@pytest.mark.parametrize(
    ("raw", "same"),
    [
        (b'{"a": 1, "b": [{"c": 2}]}', True),
        (b'{"a": [{"c": 1, "c": 2}]}', False),
        (b'{"a": [{"c" : 1, "c":2}]}', False),
        (b'{"a": [{"c"\n:1, "\\u0063":2}]}', False),
        (b'{"a": {"b": "said: \\": x", "b" : 1}}', False),
    ],
)
def test_a_name_given_twice_is_sent_once(raw, same):
    body = parse_json(raw)
    sent = unambiguous(raw, body)

    assert (sent is raw) is same
    assert orjson.loads(sent) == body
    assert same or sent == orjson.dumps(body)
