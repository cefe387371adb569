"""A stream means the same however the network tore it."""

from itertools import pairwise

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import UpstreamTruncated
from proxy.wire.relay import MAX_HELD, Relay
from proxy.wire.sse import Framer
from tests.scripted import DONE, ROLE, STOP, USAGE_EVENT, WORDS, chunk

texts = st.text(max_size=30)
deltas = st.one_of(
    texts.map(lambda t: chunk({"content": t})),
    texts.map(lambda t: chunk({"tool_calls": [{"index": 0, "function": {"arguments": t}}]})),
    texts.map(lambda t: chunk({"content": t}, None, usage=None)),
    st.just(chunk({"content": '"usage" "error" _tokens" [DONE]'})),
    st.just(b": keep-alive\n\n"),
)
cuts = st.lists(st.integers(0, 4000), max_size=30)


def torn(data, where):
    edges = sorted({0, len(data), *(c for c in where if c < len(data))})
    return [data[a:b] for a, b in pairwise(edges)]


def relayed(pieces, *, hides_usage=False, dialect="chat"):
    relay = Relay(dialect, hides_usage=hides_usage)
    out = b"".join(relay.feed(piece) for piece in pieces) + relay.end()
    return relay, out


@given(st.lists(deltas, max_size=8), cuts, st.booleans(), st.booleans())
def test_any_tearing_gives_the_same_bytes_usage_and_count(middle, where, hides, is_crlf):
    events = [ROLE, *middle, STOP, USAGE_EVENT, DONE]
    if is_crlf:
        events = [e.replace(b"\n", b"\r\n") for e in events]
    whole = b"".join(events)
    expected = b"".join(e for e in events if not (hides and b'"choices":[],' in e))

    relay, out = relayed(torn(whole, where), hides_usage=hides)

    assert out == expected
    assert (relay.usage.prompt, relay.usage.completion) == (7, 3)
    assert relay.finish == "stop"
    assert relay.is_done
    assert relay.events == sum(e.startswith(b"data") for e in events) - hides
    relay.check()


@pytest.mark.parametrize("line", [b"\n", b"\r\n"])
def test_an_event_too_large_to_hold_ends_where_it_ends(line):
    large = chunk({"content": "x" * MAX_HELD}).replace(b"\n", line)
    rest = b"".join((STOP, USAGE_EVENT, DONE)).replace(b"\n", line)
    seen = b"".join((STOP, DONE)).replace(b"\n", line)
    for at in range(len(large) - 3 * len(line), len(large) + 1):
        relay, out = relayed([large[:at], large[at:] + rest], hides_usage=True)

        assert out == large + seen
        assert (relay.is_done, relay.finish, relay.usage.completion) == (True, "stop", 3)


@given(st.lists(deltas, max_size=6), cuts)
def test_what_leaves_is_always_whole_events(middle, where):
    relay = Relay("chat", hides_usage=True)
    for piece in torn(b"".join([ROLE, *middle, DONE]), where):
        out = relay.feed(piece)
        assert out == b"" or out.endswith(b"\n\n")


@given(st.binary(max_size=300), cuts)
def test_arbitrary_bytes_never_raise_and_never_grow(data, where):
    _, out = relayed(torn(data, where))

    assert len(out) <= len(data) + 2


@given(st.lists(deltas, max_size=6), cuts)
def test_the_framer_gives_the_same_frames_for_any_tearing(middle, where):
    whole = b"".join([ROLE, *middle, DONE])
    framer = Framer()
    frames = [f for piece in torn(whole, where) for f in framer.feed(piece)]

    assert b"".join(f.raw for f in frames) == whole
    assert framer.flush() is None


@given(cuts)
def test_a_byte_order_mark_is_taken_off(where):
    _, out = relayed(torn(b"\xef\xbb\xbf" + ROLE + DONE, where))

    assert out == ROLE + DONE


@pytest.mark.parametrize(
    ("given_", "sent"),
    [
        (b"id: 7\n" + WORDS[0], WORDS[0]),
        (b"retry: 100\n\n", b""),
        (b"event: ping\n\n", b""),
        (b"data:\n\n", b""),
        (b": ping\n\n", b": ping\n\n"),
        (b'data: {"choices":[],"error":null}\n\n', b'data: {"choices":[]}\n\n'),
        (b"data:" + WORDS[0][6:], b"data:" + WORDS[0][6:]),
    ],
)
def test_what_breaks_decoders_is_mended_or_dropped(given_, sent):
    for before in (b"", ROLE + WORDS[0]):
        _, out = relayed([before + given_ + WORDS[1]] if before else [given_ + WORDS[1]])

        assert out == before + sent + WORDS[1]


@pytest.mark.parametrize(
    ("dialect", "events", "is_whole"),
    [
        ("chat", [ROLE, WORDS[0]], False),
        ("chat", [ROLE, WORDS[0], STOP], True),
        ("chat", [ROLE, DONE], True),
        ("chat", [], False),
        ("plain", [ROLE], True),
        ("responses", [b'event: response.created\ndata: {"type":"response.created"}\n\n'], False),
        ("responses", [b'event: response.failed\ndata: {"type":"response.failed"}\n\n'], True),
        ("responses", [b'event: error\ndata: {"type":"error","message":"x"}\n\n'], True),
    ],
)
def test_only_a_terminal_event_makes_a_stream_whole(dialect, events, is_whole):
    relay, _ = relayed(events, dialect=dialect)

    if is_whole:
        relay.check()
    else:
        with pytest.raises(UpstreamTruncated):
            relay.check()


def test_the_last_event_gets_the_blank_line_it_lacks_if_it_is_whole():
    assert relayed([ROLE + b"data: [DONE]"])[1] == ROLE + DONE
    assert relayed([ROLE + b"data: [DONE]\n"])[1] == ROLE + DONE
    assert relayed([ROLE + b'data: {"choices":'])[1] == ROLE


@given(cuts, st.booleans())
def test_nothing_follows_done(where, is_crlf):
    whole = ROLE + WORDS[0] + DONE + WORDS[1] + b": bye\n\n"
    expected = ROLE + WORDS[0] + DONE
    if is_crlf:
        whole, expected = (b.replace(b"\n", b"\r\n") for b in (whole, expected))

    assert relayed(torn(whole, where))[1] == expected
    assert relayed([expected, whole[len(expected) :]])[1] == expected


@given(st.integers(0, 3000), cuts)
def test_an_event_too_large_to_hold_passes_as_it_comes(extra, where):
    big = chunk({"content": "x" * (MAX_HELD + extra)})
    pieces = [ROLE, big[:70_000], *torn(big[70_000:] + WORDS[0] + DONE, where)]

    relay, out = relayed(pieces)

    assert out == ROLE + big + WORDS[0] + DONE
    assert relay.is_done
    assert not relay.is_torn


def test_a_responses_stream_is_numbered_on_and_metered():
    def event(kind, number, **more):
        data = orjson.dumps({"type": kind, "sequence_number": number, **more})
        return b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n"

    usage = {
        "input_tokens": 5,
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 1},
    }
    events = [
        event("response.created", 0, response={"usage": None, "error": None}),
        event("response.output_text.delta", 1, delta="Hi"),
        event("response.output_text.delta", 2, delta=" there"),
        event("response.completed", 3, response={"status": "completed", "usage": usage}),
    ]
    relay, out = relayed([b"".join(events)], dialect="responses")

    assert out == b"".join(events)
    assert (relay.usage.prompt, relay.usage.completion, relay.usage.reasoning) == (5, 2, 1)
    assert relay.sequence_number == 4
    assert relay.finish == "completed"
    assert relay.events == 4
    relay.check()
