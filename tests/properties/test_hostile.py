"""Whatever an upstream or a client sends in a known form's place, readers keep their heads.

They read it, pass it by or raise an error of ours: nothing else reaches the pipeline,
which would take it for a fault of its own.
"""

import contextlib

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import ProxyError
from proxy.core.frame import Frame
from proxy.wire import answer_text, body, events, prompt, questions, texts, tokens, tools, usage
from proxy.wire.embeddings import inputs_of, joined, pieces_of
from proxy.wire.endpoints import EXACT
from proxy.wire.replay import Entry, parts_of, replay
from proxy.wire.template import Template
from tests.hostile import ODD, spoiled
from tests.redaction import KINDS, redaction, ruleset, streamed
from tests.scripted import DONE, chunk

CHAT, TEXT, RESPONSES = (
    EXACT[f"/v1/{name}"] for name in ("chat/completions", "completions", "responses")
)
CALL = {
    "index": 0,
    "id": "call_1",
    "type": "function",
    "function": {"name": "f", "arguments": "{}"},
}
COUNTS = {
    "prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3,
    "prompt_tokens_details": {"cached_tokens": 1},
}  # fmt: skip


def chat(said):
    message = {"role": "assistant", "content": "Hi", "tool_calls": [CALL]}
    choice = {"index": 0, said: message, "finish_reason": "stop", "logprobs": {"content": []}}
    return {"id": "c1", "model": "m", "choices": [choice], "usage": COUNTS, "service_tier": "flex"}


PART = {"type": "output_text", "text": "Hi", "annotations": [{"type": "x"}], "logprobs": []}
RESPONSE = {
    "id": "resp_1", "object": "response", "status": "completed",
    "output": [
        {"id": "msg_1", "type": "message", "status": "completed", "content": [PART]},
        {"id": "fc_1", "type": "function_call", "name": "f", "arguments": "{}"},
        {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "a"}]},
    ],
    "usage": {"input_tokens": 1, "output_tokens": 2},
}  # fmt: skip
AT = {"item_id": "msg_1", "output_index": 0, "content_index": 0, "sequence_number": 3}
BLOCK = {"type": "tool_use", "name": "f", "input": {}}
ANSWERS = [
    chat("delta"),
    chat("message"),
    RESPONSE,
    {"type": "response.output_text.delta", **AT, "delta": "Hi", "logprobs": []},
    {"type": "response.output_text.done", **AT, "text": "Hi"},
    {"type": "response.completed", "sequence_number": 5, "response": RESPONSE},
    {"type": "content_block_start", "index": 0, "content_block": BLOCK},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
]
TURNS = [
    {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "image_url", "image_url": {"url": "x"}}]},
    {"role": "assistant", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "x"},
]  # fmt: skip
REQUESTS = [
    {"model": "m", "stream": True, "messages": TURNS, "tools": [{"type": "function", "function": {"name": "f"}}],
     "tool_choice": {"type": "function", "function": {"name": "f"}}, "max_tokens": 5, "n": 2,
     "stream_options": {"include_usage": True}, "user": "u",
     "response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}},
    {"model": "m", "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
     "instructions": "be", "text": {"format": {"type": "json_schema", "schema": {}}},
     "prompt": {"id": "p", "variables": {"a": "b"}}, "previous_response_id": "resp_1",
     "conversation": {"id": "conv_1"}, "max_output_tokens": 5, "tools": [{"type": "web_search"}]},
]  # fmt: skip

answers = st.sampled_from(ANSWERS).flatmap(spoiled)
requests = st.sampled_from(REQUESTS).flatmap(spoiled)


def sse(*said):
    return b"".join(b"data: " + orjson.dumps(event) + b"\n\n" for event in said)


@given(answers)
def test_an_odd_answer_is_read_as_far_as_it_can_be(event):
    for grows in (True, False):
        answer_text.pieces_of(event, grows=grows)
        list(answer_text.contents_of(event, grows=grows))
    list(tools.answer_calls(event))
    tools.choices_in(event)
    usage.usage_in(event)
    usage.usage_of_body(orjson.dumps(event))
    usage.finish_in(event)
    events.has_content(event)


@given(st.lists(answers, min_size=1, max_size=3))
def test_an_odd_stream_is_redacted_or_refused(said):
    with contextlib.suppress(ProxyError):
        streamed(redaction(ruleset(("email",), answers=KINDS)), [sse(*said, *said), DONE])


@given(answers)
def test_an_odd_answer_is_kept_only_if_it_can_be_given_in_both_forms(event):
    for endpoint in (CHAT, TEXT, RESPONSES):
        for is_stream, data in ((False, orjson.dumps(event)), (True, sse(event) + DONE)):
            parts = parts_of(endpoint, data, is_stream=is_stream)
            if isinstance(parts, str) or parts.pop("flaw"):
                continue
            for stream in (True, False):
                kept = Entry(at=0.0, ttl=1.0, stale=0.0, **parts)
                replay(endpoint, kept, stream=stream, tells_usage=True, new_id="n")


@pytest.mark.parametrize("levels", [300, 990, 1010])
def test_an_answer_nested_beyond_reason_is_not_kept(levels):
    deep = b'{"a":' * levels + b"1" + b"}" * levels
    told = b'data: {"choices":[{"index":0,"finish_reason":"stop","delta":{"x":%s}}]}\n\n' % deep

    assert isinstance(parts_of(CHAT, told + DONE, is_stream=True), str)


@given(requests)
def test_an_odd_request_is_read_or_refused(asked):
    readers = [
        body.model_of, body.stream_of, body.user_of, body.facts_of, tokens.prompt_of,
        tokens.choices_of, lambda b: list(tools.mentions_in(b)), lambda b: list(tools.history_of(b)),
        lambda b: list(prompt.said_in(b)), prompt.has_tokens, texts.refuse_tokens, texts.asks_json,
        lambda b: texts.stored_ids(b, "/v1/responses"), inputs_of,
        *[lambda b, e=e: tokens.wanted_of(b, e) for e in ("chat", "responses", "embeddings")],
        *[lambda b, e=e: questions.question_of(e, b) for e in ("chat", "responses")],
        lambda b: texts.rewrite_texts(str.upper, orjson.dumps(b)),
        lambda b: body.parse_json(orjson.dumps(b)),
    ]  # fmt: skip
    for read in readers:
        with contextlib.suppress(ProxyError):
            read(asked)


@pytest.mark.parametrize("broken", [b"caf\xe9", b"\\q", b"\\ud800"])
@pytest.mark.parametrize("before", [1, 3])
def test_a_piece_that_is_no_text_is_not_like_the_pieces_before_it(broken, before):
    """It goes on as it came: what it is meant to be nobody knows."""
    good, bad = chunk({"content": "said "}), chunk({"content": "XX"}).replace(b"XX", broken)
    events = b"".join([*[good] * before, bad, good])

    one = redaction(ruleset(("email",), answers=("email",)))
    got = streamed(one, [good, events, DONE])

    assert bad in got
    assert got.count(b"said ") == before + 2


def test_a_template_of_plain_pieces_ends_where_one_is_no_text():
    raw = b'data: {"a":"x"}\n\n'
    frames = [Frame(raw.replace(b"x", part), b"") for part in (b"y", b"\xe9", b"z")]

    assert len(Template.of(raw, "a", None).match_from(frames, 0)) == 1


BATCH = {
    "object": "list", "model": "e",
    "data": [{"index": 1, "embedding": [1.0]}, {"index": 0, "embedding": "AAAA"}],
    "usage": {"prompt_tokens": 5},
}  # fmt: skip


@given(spoiled(BATCH) | ODD)
def test_an_odd_batch_of_embeddings_is_taken_apart_whole_or_not_at_all(given_back):
    pieces = pieces_of(orjson.dumps(given_back), ["a", "bb"])
    if pieces is not None:
        vectors = {item["index"]: item["embedding"] for item in given_back["data"]}
        made = orjson.loads(joined(pieces))
        assert [item["embedding"] for item in made["data"]] == [vectors[0], vectors[1]]
        assert all(vectors.values())
        assert made["usage"]["prompt_tokens"] >= 0


@given(
    st.integers(0, 10**6),
    st.lists(st.text(max_size=9) | st.lists(st.integers(0, 9), max_size=9), min_size=1, max_size=9),
)
def test_the_tokens_of_a_batch_are_shared_out_to_the_last(total, inputs):
    data = [{"index": i, "embedding": [0.5]} for i in range(len(inputs))]
    answer = orjson.dumps({"data": data, "usage": {"prompt_tokens": total}})
    pieces = pieces_of(answer, inputs)

    assert sum(share for _, share in pieces) == total
    assert all(share >= 0 for _, share in pieces)


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"[]", b"{", b'{"data":[]}', b'{"data":[{"index":0,"embedding":[]}]}',
        b'{"data":[{"index":1,"embedding":[1]}]}', b'{"data":[{"index":[],"embedding":[1]}]}',
        b'{"data":[5]}', b'{"data":7}', b'{"error":"no","data":[{"index":0,"embedding":[1]}]}',
        b'{"data":[{"index":0,"embedding":%s}]}' % (b"[" * 300 + b"]" * 300),
    ],
)  # fmt: skip
def test_what_is_no_answer_to_the_inputs_is_not_taken_apart(answer):
    assert pieces_of(answer, ["a"]) is None


@pytest.mark.parametrize(
    ("given_as", "wanted"),
    [
        ("a", ["a"]), ([1, 2], [[1, 2]]), (["a", "b"], ["a", "b"]), ([[1], [2, 3]], [[1], [2, 3]]),
        (None, None), ([], None), (["a", 1], None), ([[]], None), ([["a"]], None), ([True], None),
        (["a"] * 4097, None),
    ],
)  # fmt: skip
def test_inputs_are_counted_one_by_one_in_the_forms_there_are(given_as, wanted):
    assert inputs_of({"input": given_as}) == wanted
