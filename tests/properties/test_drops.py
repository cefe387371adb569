"""What comes in drops is read as what comes at once, and costs no more than its length."""

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import UpstreamFailed
from proxy.upstream.answer import AnswerReader
from proxy.wire.relay import MAX_HELD, Relay
from proxy.wire.sse import Framer
from tests.unit.edge.test_intake import incoming

LINES = [b'data: {"a":1}', b"data: [DONE]", b"event: x", b": c", b"\xef\xbb\xbf", b"\r", b"", b""]
torn = st.tuples(
    st.lists(st.tuples(st.sampled_from(LINES), st.sampled_from([b"\n", b"\r\n"]))),
    st.lists(st.integers(1, 9), min_size=1),
)


def pieces(data, sizes):
    at, i = 0, 0
    while at < len(data):
        size = sizes[i % len(sizes)]
        yield data[at : at + size]
        at, i = at + size, i + 1


def framed(parts):
    framer = Framer()
    frames = [frame for part in parts for frame in framer.feed(part)]
    if last := framer.flush():
        frames.append(last)
    return [(frame.raw, frame.data, frame.event) for frame in frames]


def relayed(parts):
    relay = Relay("plain", hides_usage=False)
    out = b"".join(map(relay.feed, parts)) + relay.end()
    blocks = out.replace(b"\r\n", b"\n").split(b"\n\n")
    kept = [kept for block in blocks if (kept := block.strip(b"\r\n"))]
    return kept, relay.events, relay.is_done


@given(torn)
def test_what_is_relayed_is_the_same_however_its_bytes_are_torn(torn):
    lines, sizes = torn
    data = b"".join(line + end for line, end in lines)
    assert relayed(pieces(data, sizes)) == relayed([data])


@given(torn)
def test_frames_are_the_same_however_their_bytes_are_torn(torn):
    lines, sizes = torn
    data = b"".join(line + end for line, end in lines)
    assert framed(pieces(data, sizes)) == framed([data])


def test_an_event_in_drops_is_still_bounded():
    framer = Framer(100)
    assert not any(map(framer.feed, [b"x"] * 100))
    with pytest.raises(UpstreamFailed):
        framer.feed(b"x")


def test_what_is_too_large_to_hold_goes_on_torn_from_drops_too():
    relay = Relay("plain", hides_usage=False)
    event = b"\xef\xbb\xbfdata: " + b"x" * MAX_HELD + b"\n\ndata: {}\n\n"

    assert b"".join(map(relay.feed, pieces(event, [7]))) == event[3:]
    assert (relay.events, relay.is_torn) == (2, False)


class Drops:
    """A body of which a little comes at a time."""

    left = 10_000

    async def readany(self):
        self.left -= 1
        return b"x" * 400 if self.left >= 0 else b""


class Sink:
    """Stands where aiohttp's parser looks for a protocol."""


async def test_the_head_of_an_answer_in_drops_is_the_same_head():
    head = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
    for size in range(1, 9):
        reader = AnswerReader(Sink(), None)
        body = b"".join(map(reader.feed, pieces(head + b"{}", [size])))
        assert (reader.head.code, body, reader.is_clean) == (200, b"{}", True)


async def _answer_head():
    head = b"HTTP/1.1 200 OK\r\nX: " + b"a" * 60_000 + b"\r\nContent-Length: 0\r\n\r\n"
    reader = AnswerReader(Sink(), None)
    for piece in pieces(head, [1]):
        reader.feed(piece)
    assert reader.head.code == 200


async def _body():
    made = incoming()
    made.payload = Drops()
    assert len(await made.peek(1 << 30, lambda _: False)) == 4_000_000


async def _frame():
    framer = Framer()
    event = b"data: " + b"x" * (1 << 20) + b"\n\n"
    assert sum(len(framer.feed(piece)) for piece in pieces(event, [16])) == 1


async def _frames_with_crlf():
    assert len(Framer().feed(b'data: {"a":1}\r\n\r\n' * 20_000)) == 20_000


async def _relay():
    relay = Relay("chat", hides_usage=False)
    for piece in pieces(b'data: {"choices":"' + b"x" * 60_000 + b'"}\n\n', [1]):
        relay.feed(piece)
    assert relay.events == 1


@pytest.mark.parametrize("read", [_answer_head, _body, _frame, _frames_with_crlf, _relay])
async def test_to_read_drops_takes_no_time_that_grows_with_what_came_before(read):
    before = process_time()
    await read()
    # They take up to 0.2 seconds; what looks again at all that came before takes over one.
    assert process_time() - before < 1.0
