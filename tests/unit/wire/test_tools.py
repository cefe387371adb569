"""Tools as they are offered and called, in all the APIs' ways of saying so."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import BadRequest
from proxy.wire.tools import answer_calls, choices_in, history_of, mentions_in


def names(body):
    return [name for name, _ in mentions_in(body)]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({}, []),
        ({"tools": None, "tool_choice": "auto"}, []),
        ({"tools": [{"type": "function", "function": {"name": "a"}}]}, ["a"]),
        ({"tools": [{"type": "function", "name": "a"}]}, ["a"]),
        ({"tools": [{"type": "custom", "custom": {"name": "a"}}]}, ["a"]),
        ({"tools": [{"type": "custom", "name": "a"}]}, ["a"]),
        ({"tools": [{"name": "a", "input_schema": {}}]}, ["a"]),
        ({"tools": [{"type": "web_search_preview"}, {"type": "mcp", "server_label": "x"}]}, ["web_search_preview", "mcp"]),
        ({"tools": [{"type": "computer_20250124", "name": "a"}]}, ["computer_20250124"]),
        ({"functions": [{"name": "a"}], "function_call": {"name": "b"}}, ["a", "b"]),
        ({"tool_choice": {"type": "function", "function": {"name": "a"}}}, ["a"]),
        ({"tool_choice": {"type": "tool", "name": "a"}}, ["a"]),
        ({"tool_choice": {"type": "any"}}, []),
        ({"tool_choice": {"type": "file_search"}}, ["file_search"]),
        ({"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "a"}]}}, ["a"]),
        ({"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [
            {"type": "function", "function": {"name": "a"}}]}}}, ["a"]),
    ],
)  # fmt: skip
def test_tools_that_a_request_speaks_of(body, found):
    assert names(body) == found


@pytest.mark.parametrize(
    "body",
    [{"tools": "all"}, {"tools": [1]}, {"tools": [{"type": "function"}]}, {"tools": [{"type": "function", "function": {"name": 1}}]},
     {"tools": [{"type": None}]}, {"tools": [{"type": []}]}, {"functions": [{}]}],
)  # fmt: skip
def test_a_tool_that_cannot_be_named_is_refused(body):
    with pytest.raises(BadRequest):
        names(body)


def test_calls_of_the_history_by_message():
    body = {"messages": [
        {"role": "assistant", "tool_calls": [{"function": {"name": "a"}}, {"custom": {"name": "b"}}]},
        {"role": "assistant", "function_call": {"name": "c"}},
        {"role": "assistant", "content": [{"type": "tool_use", "name": "d"}]},
        {"role": "user", "content": "e"}]}  # fmt: skip
    items = {"input": [{"type": "function_call", "name": "a"}, {"type": "web_search_call"}]}

    assert list(history_of(body)) == [
        ("messages[0]", ["a", "b"]),
        ("messages[1]", ["c"]),
        ("messages[2]", ["d"]),
    ]
    assert list(history_of(items)) == [("input[0]", ["a"]), ("input[1]", ["web_search"])]


@pytest.mark.parametrize(
    ("event", "calls"),
    [
        ({"choices": [{"index": 1, "delta": {"tool_calls": [{"index": 2, "function": {"name": "a"}}]}}]}, [((1, "tool", 2), "a")]),
        ({"choices": [{"index": 0, "message": {"tool_calls": [{"function": {"name": "a"}}, {"function": {"name": "b"}}]}}]},
         [((0, "tool", 0), "a"), ((0, "tool", 1), "b")]),
        ({"choices": [{"delta": {"function_call": {"name": "a"}}}]}, [((0, "function"), "a")]),
        ({"type": "response.output_item.added", "output_index": 3, "item": {"type": "function_call", "name": "a"}}, [((3, "item"), "a")]),
        ({"type": "response.completed", "response": {"output": [{"type": "message"}, {"type": "mcp_call", "name": "x"}]}},
         [((1, "item"), "mcp")]),
        ({"object": "response", "output": [{"type": "custom_tool_call", "name": "a"}]}, [((0, "item"), "a")]),
        ({"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "name": "a"}}, [((1, "item"), "a")]),
        ({"type": "message", "content": [{"type": "text"}, {"type": "tool_use", "name": "a"}]}, [(("part", 1), "a")]),
        ({"choices": [{"delta": {"content": "tool_calls"}}]}, []),
    ],
)  # fmt: skip
def test_calls_of_an_answer(event, calls):
    assert [tuple(call) for call in answer_calls(event)] == calls


ODD = st.recursive(
    st.none() | st.integers(0, 3) | st.sampled_from(["function", "tool_use", "function_call", "x_call", "message"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["type", "name", "index", "choices", "delta", "message", "tool_calls", "function", "content", "item",
                         "output", "response", "function_call", "object", "tools", "messages", "input", "tool_choice"]),
        inner, max_size=5),
    max_leaves=20,
)  # fmt: skip


@given(ODD)
def test_no_answer_or_request_is_too_odd(value):
    if isinstance(value, dict):
        list(answer_calls(value))
        list(history_of(value))
        choices_in(value)
        with contextlib.suppress(BadRequest):
            list(mentions_in(value))
