"""What is replayed adds up, in the official client, to what was first said."""

import json

import orjson
from hypothesis import given
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from proxy.wire.assemble import assemble, flaw_of
from proxy.wire.endpoints import EXACT
from proxy.wire.replay import DONE, Entry, parts_of, replay, without_usage
from proxy.wire.sse import Framer

CHAT, TEXT, RESPONSES = (
    EXACT[f"/v1/{name}"] for name in ("chat/completions", "completions", "responses")
)
EVENTS = TypeAdapter(ResponseStreamEvent)

WORDS = st.text(min_size=1, max_size=12)
LOGPROB = st.builds(
    lambda token, p: {"token": token, "logprob": p, "bytes": list(token.encode()), "top_logprobs": []},
    WORDS, st.floats(-10, 0),
)  # fmt: skip
USAGE = {
    "prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10,
    "completion_tokens_details": {"reasoning_tokens": 1},
}  # fmt: skip


def chunk(**more):
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 5, "model": "m"}
    return {**base, "system_fingerprint": "fp", **more}


def choice(index, delta, finish=None, **more):
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish, **more}


@st.composite
def chat_streams(draw):
    """Chunks as providers send them, of one or two choices, in any interleaving."""
    parts = []
    for index in range(draw(st.integers(1, 2))):
        own = [choice(index, {"role": "assistant", "content": ""})]
        own += [choice(index, {"reasoning_content": w}) for w in draw(st.lists(WORDS, max_size=2))]
        for word in draw(st.lists(WORDS, max_size=4)):
            logprobs = draw(st.none() | st.lists(LOGPROB, min_size=1, max_size=2))
            logprobs = {"content": logprobs, "refusal": None} if logprobs else None
            own.append(choice(index, {"content": word}, logprobs=logprobs))
        calls = draw(st.integers(0, 2))
        for number in range(calls):
            function = {"name": draw(WORDS), "arguments": ""}
            own.append(choice(index, {"tool_calls": [
                {"index": number, "id": f"call_{index}{number}", "type": "function",
                 "function": function}]}))  # fmt: skip
            for piece in draw(st.lists(WORDS, max_size=3)):
                own.append(choice(index, {"tool_calls": [
                    {"index": number, "function": {"arguments": piece}}]}))  # fmt: skip
        own.append(choice(index, {}, "tool_calls" if calls else "stop"))
        parts.append(own)
    # The client's own accumulator wants choices to begin in their order.
    chunks = [chunk(choices=[own.pop(0)], usage=None) for own in parts]
    while any(parts):
        own = draw(st.sampled_from([p for p in parts if p]))
        chunks.append(chunk(choices=[own.pop(0)], usage=None))
    if draw(st.booleans()):
        chunks.append(chunk(choices=[], usage=USAGE))
    return chunks


def sse(chunks):
    return b"".join(b"data: " + orjson.dumps(c) + b"\n\n" for c in chunks) + DONE


def accumulated(events):
    """What the client makes of a stream."""
    state = ChatCompletionStreamState()
    for frame in Framer().feed(events):
        if not frame.is_done:
            state.handle_chunk(ChatCompletionChunk.model_validate(orjson.loads(frame.data)))
    return state.current_completion_snapshot.model_dump(exclude={"id"})


def entry(endpoint, body, *, is_stream):
    parts = parts_of(endpoint, body, is_stream=is_stream)
    assert not isinstance(parts, str), parts
    assert parts.pop("flaw") == ""
    made = Entry(at=1.5, ttl=2.0, stale=3.0, **parts)
    assert Entry.unpack(made.pack()) == made
    return made


def again(endpoint, kept, *, stream, tells_usage=True):
    return replay(endpoint, kept, stream=stream, tells_usage=tells_usage, new_id="new")


@given(chat_streams())
def test_a_replayed_chat_stream_is_the_stream(chunks):
    events = sse(chunks)
    kept = entry(CHAT, events, is_stream=True)
    replayed = again(CHAT, kept, stream=True)

    assert replayed == events.replace(b'"id":"chatcmpl-1"', b'"id":"chatcmpl-new"')
    assert accumulated(replayed) == accumulated(events)


def plain(message):
    """A message without what a client's accumulating leaves in it."""
    calls = [
        {"id": c["id"], "type": c["type"], "name": c["function"]["name"],
         "arguments": c["function"]["arguments"]}
        for c in message["tool_calls"] or ()
    ]  # fmt: skip
    known = {k: v for k, v in message.items() if k not in ("tool_calls", "parsed") and v}
    return {**known, "tool_calls": calls}


@given(chat_streams())
def test_a_stream_given_as_json_is_what_it_adds_up_to(chunks):
    events = sse(chunks)
    whole = orjson.loads(again(CHAT, entry(CHAT, events, is_stream=True), stream=False))
    ChatCompletion.model_validate(whole)
    wanted = accumulated(events)

    for made, said in zip(
        whole["choices"], sorted(wanted["choices"], key=lambda c: c["index"]), strict=True
    ):
        got = ChatCompletion.model_validate(whole).choices[made["index"]].model_dump()
        assert plain(got["message"]) == plain(said["message"])
        assert got["finish_reason"] == said["finish_reason"]
        assert (got["logprobs"] or {}).get("content") == (said["logprobs"] or {}).get("content")


@given(chat_streams())
def test_json_given_as_a_stream_adds_up_to_the_json(chunks):
    whole = {**assemble(CHAT, sse(chunks)), "usage": USAGE}
    kept = entry(CHAT, orjson.dumps(whole), is_stream=False)
    events = again(CHAT, kept, stream=True)
    back = assemble(CHAT, events)

    assert {**back, "id": ""} == {**whole, "id": ""}
    accumulated(events)
    assert b'"usage"' not in again(CHAT, kept, stream=True, tells_usage=False)


@given(chat_streams())
def test_only_the_usage_event_is_hidden(chunks):
    events = sse(chunks)
    told = [c for c in chunks if not c["choices"]]

    assert without_usage(events) == sse([c for c in chunks if c["choices"]])
    assert without_usage(events + b'data: {"a_tokens"') == (
        without_usage(events) + b'data: {"a_tokens"'
    )
    kept = entry(CHAT, events, is_stream=True)
    assert bool(kept.told) == bool(told)


@given(st.lists(WORDS, min_size=1, max_size=5), st.text(max_size=5))
def test_completions_too(words, last):
    base = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m"}
    chunks = [
        {**base, "choices": [{"index": 0, "text": w, "logprobs": {"tokens": [w], "token_logprobs": [-1.0]},
                              "finish_reason": None}]}
        for w in words
    ] + [{**base, "choices": [{"index": 0, "text": last, "logprobs": None, "finish_reason": "stop"}]}]  # fmt: skip
    kept = entry(TEXT, sse(chunks), is_stream=True)
    whole = orjson.loads(again(TEXT, kept, stream=False))
    Completion.model_validate(whole)

    assert whole["choices"][0]["text"] == "".join(words) + last
    assert whole["choices"][0]["logprobs"]["tokens"] == words
    assert (
        assemble(TEXT, again(TEXT, entry(TEXT, orjson.dumps(whole), is_stream=False), stream=True))[
            "choices"
        ]
        == whole["choices"]
    )


@st.composite
def responses(draw):
    """Whole answers of the Responses API: reasoning, text with notes, calls."""
    output = []
    if draw(st.booleans()):
        summary = [{"type": "summary_text", "text": t} for t in draw(st.lists(WORDS, max_size=2))]
        output.append({"id": "rs_1", "type": "reasoning", "summary": summary})
    for number, text in enumerate(draw(st.lists(st.text(max_size=20), min_size=1, max_size=2))):
        notes = [
            {"type": "url_citation", "start_index": 0, "end_index": 1, "url": "u", "title": "t"}
        ]
        part = {"type": "output_text", "text": text, "logprobs": [],
                "annotations": notes if draw(st.booleans()) else []}  # fmt: skip
        output.append({"id": f"msg_{number}", "type": "message", "role": "assistant",
                       "status": "completed", "content": [part]})  # fmt: skip
    for number in range(draw(st.integers(0, 2))):
        output.append({"id": f"fc_{number}", "type": "function_call", "call_id": f"call_{number}",
                       "name": draw(WORDS), "arguments": draw(st.text(max_size=20)),
                       "status": "completed"})  # fmt: skip
    return {
        "id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "m",
        "output": output, "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
        "error": None, "incomplete_details": None,
        "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3,
                  "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                  "output_tokens_details": {"reasoning_tokens": 0}},
    }  # fmt: skip


@given(responses())
def test_responses_come_as_events_that_the_client_reads(whole):
    Response.model_validate(whole)
    kept = entry(RESPONSES, orjson.dumps(whole), is_stream=False)
    events = again(RESPONSES, kept, stream=True)
    read = [orjson.loads(f.data) for f in Framer().feed(events)]
    for event in read:
        EVENTS.validate_python(event)
    texts = [e["delta"] for e in read if e["type"] == "response.output_text.delta"]
    parts = [p for item in whole["output"] for p in item.get("content", ())]

    assert [e["sequence_number"] for e in read] == list(range(len(read)))
    assert "".join(texts) == "".join(p["text"] for p in parts)
    assert read[-1]["response"] == {**whole, "id": "resp_new"}
    assert read[0]["response"]["id"] == "resp_new"
    done = [e["item"] for e in read if e["type"] == "response.output_item.done"]
    assert done == whole["output"]

    kept = entry(RESPONSES, events, is_stream=True)
    assert again(RESPONSES, kept, stream=True) == events
    assert orjson.loads(again(RESPONSES, kept, stream=False)) == {**whole, "id": "resp_new"}


@given(st.binary(max_size=300) | chat_streams().map(sse), st.integers(0, 400))
def test_no_bytes_raise_and_no_part_of_a_stream_is_whole(data, cut):
    for endpoint in (CHAT, TEXT, RESPONSES):
        for is_stream in (True, False):
            parts_of(endpoint, data, is_stream=is_stream)
    if data.endswith(DONE) and cut < len(data) - 1:
        assert parts_of(CHAT, data[:cut], is_stream=True) == "incomplete"


@given(st.binary(max_size=200))
def test_an_entry_of_any_bytes_is_an_entry_or_an_error(data):
    try:
        Entry.unpack(data)
    except ValueError:
        return
    raise AssertionError("taken for an entry")


def test_all_events_of_a_replay_have_the_new_id_however_they_are_written():
    chunks = [chunk(choices=[choice(0, {"content": "Hi"})]),
              chunk(choices=[choice(0, {}, "stop")], usage=USAGE)]  # fmt: skip
    spaced = "".join(f"data: {json.dumps(one)}\n\n" for one in chunks).encode() + DONE
    kept = entry(CHAT, spaced, is_stream=True)
    frames = Framer().feed(again(CHAT, kept, stream=True))
    read = [orjson.loads(frame.data) for frame in frames if not frame.is_done]

    assert [one["id"] for one in read] == ["chatcmpl-new"] * 3
    assert read[-1]["usage"] == USAGE


def test_an_id_that_stands_in_the_text_stays_there():
    whole = {"id": "x", "choices": [{"index": 0, "finish_reason": "stop", "logprobs": None,
             "message": {"role": "assistant", "content": 'x "id":"x"'}}]}  # fmt: skip
    kept = entry(CHAT, orjson.dumps(whole), is_stream=False)
    given_out = orjson.loads(again(CHAT, kept, stream=False))

    assert given_out["id"] == "chatcmpl-new"
    assert given_out["choices"] == whole["choices"]
    assert flaw_of(CHAT, whole) == ""
