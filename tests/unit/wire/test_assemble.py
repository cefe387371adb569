"""Which answers are whole and good enough to be given twice."""

import asyncio

import orjson
import pytest

from proxy.core.cache import Terms
from proxy.core.exchange import End, Head, Usage
from proxy.core.flight import Flight
from proxy.core.plan import Plan, Target
from proxy.wire.endpoints import EXACT
from proxy.wire.kept import JSON, entry_of
from proxy.wire.replay import parts_of
from proxy.wire.usage import MAX_TOKENS, usage_of_body
from tests.kit import exchange
from tests.scripted import DONE, ROLE, STOP, WORDS, chunk

CHAT, EMBEDDINGS, RESPONSES = (
    EXACT[f"/v1/{name}"] for name in ("chat/completions", "embeddings", "responses")
)
GOOD = {"choices": [{"index": 0, "finish_reason": "stop", "message": {"content": "Hi"}}]}
MESSAGE = {"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}
TERMS = Terms(ttl=60.0, stale=0.0, negative=5.0)
HERE, THERE = Target("here", "a"), Target("there", "b")


def flaw(endpoint, whole):
    parts = parts_of(endpoint, orjson.dumps(whole), is_stream=False)
    return parts if isinstance(parts, str) else parts["flaw"]


def response(*output, **more):
    return {"status": "completed", "output": list(output), **more}


@pytest.mark.parametrize(
    ("endpoint", "whole", "word"),
    [
        (CHAT, GOOD, ""),
        (CHAT, {**GOOD, "error": {"message": "no"}}, "error"),
        (CHAT, {"choices": []}, "shape"),
        (CHAT, {"choices": [5]}, "finish"),
        (CHAT, {"choices": [{**GOOD["choices"][0], "finish_reason": "length"}]}, "finish"),
        (CHAT, {"choices": [{**GOOD["choices"][0], "message": {"refusal": "no"}}]}, "refusal"),
        (EMBEDDINGS, {"data": []}, ""),
        (EMBEDDINGS, {"data": 5}, "shape"),
        (RESPONSES, response(MESSAGE), ""),
        (RESPONSES, {**response(MESSAGE), "status": "incomplete"}, "finish"),
        (RESPONSES, response(MESSAGE, incomplete_details={"reason": "x"}), "finish"),
        (RESPONSES, response(), "shape"),
        (RESPONSES, response(5), "item"),
        (RESPONSES, response({"type": "web_search_call"}), "item"),
        (RESPONSES, response({**MESSAGE, "status": "incomplete"}), "finish"),
        (RESPONSES, response({"type": "message", "content": [{"type": "refusal"}]}), "refusal"),
        (RESPONSES, response({"type": "custom_tool_call", "input": "x"}), ""),
    ],
)
def test_an_answer_with_a_flaw_is_named_by_it(endpoint, whole, word):
    assert flaw(endpoint, whole) == word


@pytest.mark.parametrize(
    "events",
    [
        [], [DONE], [ROLE, *WORDS, STOP], [ROLE, STOP, DONE, STOP], [ROLE, STOP, DONE, DONE],
        [ROLE, b'data: {"error":{"message":"no"}}\n\n', STOP, DONE], [b"data: {\n\n", DONE],
        [b"data: x" * 10**6],
    ],
)  # fmt: skip
def test_a_stream_that_did_not_end_as_streams_do_is_no_whole_answer(events):
    assert parts_of(CHAT, b"".join(events), is_stream=True) == "incomplete"


def test_comments_in_a_stream_are_no_part_of_its_answer():
    events = [b": ping\n\n", ROLE, b": ping\n\n", *WORDS, STOP, DONE, b": bye\n\n"]
    parts = parts_of(CHAT, b"".join(events), is_stream=True)

    assert orjson.loads(parts["whole"])["choices"][0]["message"]["content"] == "Hi there!"


def test_endpoints_whose_streams_nobody_knows_have_no_whole_answer():
    assert parts_of(EMBEDDINGS, chunk({"content": "x"}) + DONE, is_stream=True) == "incomplete"


def kept(body=None, *, status=200, end="complete", limit=1000, is_purged=False, **fields):
    fields = {"plan": Plan("r", (HERE, THERE)), "target": HERE, "usage": Usage(3, 2)} | fields
    flight = Flight(exchange(**fields), asyncio.Event, limit)
    flight.is_purged = is_purged
    if status:
        flight.start(flight.x, Head(status, [], JSON, None))
    flight.write(orjson.dumps(GOOD) if body is None else body)
    return entry_of(flight, End(end), 100.0, TERMS)


def test_a_good_answer_is_kept_with_what_it_cost():
    entry = kept(cost_nanos=7)

    assert (entry.usage, entry.cost, entry.target, entry.ttl) == ((3, 2), 7, "here", 60.0)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"status": 0}, "end"),
        ({"end": "upstream_broke"}, "end"),
        ({"is_purged": True}, "purged"),
        ({"limit": 10}, "size"),
        ({"is_altered": True}, "budget"),
        ({"target": THERE}, "fallback"),
        ({"target": None}, "fallback"),
        ({"status": 500}, "status"),
        ({"body": b"[]"}, "shape"),
        ({"body": b"{"}, "shape"),
    ],
)
def test_an_answer_that_is_not_what_was_asked_for_is_not_kept(fields, word):
    assert kept(**fields) == word


@pytest.mark.parametrize(
    ("error", "is_kept"),
    [
        ({"type": "invalid_request_error", "code": None}, True),
        ({"type": "BadRequestError"}, True),
        ({"type": "invalid_request_error", "code": "content_filter"}, False),
        ({"type": "rate_limit"}, False),
        ("no", False),
    ],
)
def test_a_refusal_is_kept_for_a_while_if_it_is_about_the_request_s_form(error, is_kept):
    found = kept(orjson.dumps({"error": error}), status=400)

    assert (found == "status") is not is_kept
    assert not is_kept or (found.status, found.ttl) == (400, 5.0)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"5"])
def test_a_refusal_that_cannot_be_read_is_not_kept(body):
    assert kept(body, status=400) == "status"


def test_usage_is_found_in_bytes_that_are_cut_and_never_made_of_half_an_object():
    told = b'{"a":1},"usage":{"prompt_tokens":5,"completion_tokens":6}}'
    assert usage_of_body(told)[0] == Usage(5, 6)
    assert usage_of_body(told[:-2]) == (None, "")
    assert usage_of_body(b'"usage":"x' + b"{" * 9)[0] is None
    escaped = rb'{"x":"\"usage\":{\"prompt_tokens\":1}","usage":{"prompt_tokens":5},'
    assert usage_of_body(escaped)[0] == Usage(5, 0)


@pytest.mark.parametrize(
    ("usage", "found"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 40, "x": 1}, Usage(10, 30)),
        ({"total_tokens": 40}, Usage(40, 0)),
        ({"prompt_tokens": -1, "completion_tokens": 5, "total_tokens": 9}, Usage(4, 5)),
        ({"prompt_tokens": True, "completion_tokens": 1.5}, None),
        ({"prompt_tokens": MAX_TOKENS + 1}, None),
    ],
)
def test_an_upstream_s_numbers_are_numbers_or_absent(usage, found):
    assert usage_of_body(orjson.dumps({"usage": usage}))[0] == found
