"""The texts of answers: streamed, they are what they are unstreamed."""

import pytest

from proxy.mock_answers import chat, chat_events, completion, completion_events
from proxy.mock_responses import response, response_events
from proxy.wire.answer_text import contents_of, is_last, pieces_of
from proxy.wire.events import event_of
from proxy.wire.sse import Framer

BODY = {"model": "mock", "n": 2, "messages": [{"role": "user", "content": "Say hello to the wide world"}],
        "input": "Say hello to the wide world", "prompt": "Say hello to the wide world"}  # fmt: skip
CALL = {**BODY, "tools": [{"type": "function", "function": {"name": "hello"}}]}


def events_of(stream):
    frames = Framer().feed(b"".join(stream))
    return [event for frame in frames if (event := event_of(frame.data)) is not None]


def grown(events, pieces=pieces_of):
    texts = {}
    for event in events:
        for key, text in pieces(event, grows=True):
            if key is not None:
                texts[key] = texts.get(key, "") + text
    return list(texts.values())


def whole(answer, pieces=pieces_of):
    return [text for _, text in pieces(answer, grows=False)]


@pytest.mark.parametrize(
    ("answer", "stream"),
    [(chat, chat_events), (completion, completion_events), (response, response_events)],
)
def test_pieces_put_together_are_the_text(answer, stream):
    assert sorted(grown(events_of(stream(BODY)))) == sorted(whole(answer(BODY)))
    assert grown(events_of(stream(BODY)), contents_of) == whole(answer(BODY), contents_of)


def test_names_and_arguments_of_calls_are_texts():
    texts = ["hello", '{"heard": "hello"}']

    assert sorted(grown(events_of(chat_events(CALL)))) == sorted(texts * 2)
    assert sorted(whole(chat(CALL))) == sorted(texts * 2)
    assert whole(chat(CALL), contents_of) == []


def test_a_response_does_not_repeat_its_request():
    answer = {
        **response(BODY),
        "instructions": "secret",
        "metadata": {"a": "b"},
        "tools": [{"name": "c"}],
    }

    assert whole(answer) == whole(response(BODY))
    assert whole({"type": "response.created", "response": answer}) == whole(response(BODY))


@pytest.mark.parametrize(
    ("event", "pieces"),
    [
        ({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "a"}},
         [((1, "delta", "text"), "a")]),
        ({"choices": [{"index": 0, "delta": {"reasoning_content": "a", "refusal": "b", "content": None}}]},
         [(("choices", 0, "delta", "reasoning_content"), "a"), (("choices", 0, "delta", "refusal"), "b")]),
        ({"type": "response.output_text.delta", "item_id": "i", "output_index": 1, "content_index": 2, "delta": "a"},
         [(("response.output_text.delta", 1, 2, "i", "delta"), "a")]),
        ({"type": "response.output_text.done", "output_index": 1, "content_index": 2, "text": "a"}, [(None, "a")]),
        ({"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "name": "f", "input": {"id": "a"}}},
         [((0, "content_block", "name"), "f"), ((0, "content_block", "input", "id"), "a")]),
        ({"id": "a", "object": "b", "model": "c", "system_fingerprint": "d", "choices": []}, []),
        ({"choices": [{"index": 0, "delta": {"content": "a"}, "logprobs": {"content": [{"token": "a"}]}}]},
         [(("choices", 0, "delta", "content"), "a")]),
    ],
)  # fmt: skip
def test_a_text_is_known_by_where_it_grows(event, pieces):
    assert [tuple(piece) for piece in pieces_of(event, grows=True)] == pieces


@pytest.mark.parametrize(
    ("kind", "last"),
    [
        ("response.completed", True),
        ("response.failed", True),
        ("message_stop", True),
        ("response.created", False),
        ([], False),
    ],
)
def test_the_last_event_of_a_stream(kind, last):
    assert is_last({"type": kind}) is last
