"""Bodies as clients send them: whole, in drops, compressed, too large, or never."""

import asyncio
import gzip
import zlib

import pytest
from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol
from multidict import CIMultiDict

from proxy.core.errors import BodyTooLarge, InvalidBody, RequestTimeout, UnsupportedEncoding
from proxy.edge.intake import Incoming

LIMIT = 100


class Message:
    chunked = False

    def __init__(self, **headers):
        self.headers = CIMultiDict({k.replace("_", "-"): v for k, v in headers.items()})


class Transport:
    def __init__(self):
        self.log = []

    def write(self, data):
        self.log.append(data)

    def pause_reading(self):
        self.log.append("pause")

    def resume_reading(self):
        self.log.append("resume")


class Connection:
    def __init__(self):
        self.transport = Transport()
        self.parser = None

    def set_parser(self, parser):
        self.parser = parser


class Far:
    """The other end of a tunnel."""

    takes = True

    def on_writable(self, told):
        self.told = told

    def write(self, data):
        self.last = data
        return self.takes


def incoming(*parts, is_over=True, is_chunked=False, body_s=5.0, **headers):
    protocol = BaseProtocol(asyncio.get_running_loop())
    protocol.transport = Transport()
    payload = StreamReader(protocol, 2**16)
    for part in parts:
        payload.feed_data(part)
    if is_over:
        payload.feed_eof()
    message = Message(**headers)
    message.chunked = is_chunked
    if not is_chunked and "content-length" not in message.headers:
        message.headers["content-length"] = str(sum(map(len, parts)))
    return Incoming(message, payload, Connection(), body_s)


async def test_a_body_that_is_here_is_read_at_once_and_one_in_drops_whole():
    assert await incoming(b"ab", b"cd").read(LIMIT) == b"abcd"
    assert await incoming().read(LIMIT) == b""

    slow = incoming(b"ab", is_over=False, content_length="4")
    reading = asyncio.create_task(slow.read(LIMIT))
    await asyncio.sleep(0)
    slow.payload.feed_data(b"cd")
    slow.payload.feed_eof()
    assert await reading == b"abcd"


@pytest.mark.parametrize("is_over", [True, False])
async def test_no_more_is_taken_than_may_be_whether_its_length_is_told_or_not(is_over):
    for made in (
        incoming(b"x" * (LIMIT + 1)),
        incoming(b"x" * (LIMIT + 1), is_chunked=True, is_over=is_over),
        incoming(b"x" * LIMIT, b"x", is_chunked=True, is_over=is_over),
        incoming(content_length=str(LIMIT + 1), is_over=is_over),
    ):
        with pytest.raises(BodyTooLarge):
            await made.read(LIMIT)
    fits = incoming(b"x" * LIMIT, is_chunked=True)
    assert len(await fits.read(LIMIT)) == LIMIT


async def test_the_pieces_of_a_body_are_bounded_together_with_what_was_looked_at():
    told = incoming(b"x" * 11, content_length="11")
    with pytest.raises(BodyTooLarge):
        await anext(told.chunks(10))

    looked = incoming(b"x" * 8, is_chunked=True, is_over=False)
    await looked.peek(10, bool)
    looked.payload.feed_data(b"y" * 3)
    pieces = looked.chunks(10)
    assert await anext(pieces) == b"x" * 8
    with pytest.raises(BodyTooLarge):
        await anext(pieces)


async def test_no_more_is_looked_at_than_may_be():
    with pytest.raises(BodyTooLarge):
        await incoming(b"x" * 11).peek(10, lambda _: False)


async def test_what_was_looked_at_and_changed_goes_on_in_its_place_and_is_counted():
    made = incoming(b"abc", is_over=False, content_length="5")
    assert await made.peek(10, lambda found: len(found) >= 3) == b"abc"
    made.edit(b"ABCD")
    made.payload.feed_data(b"de")
    made.payload.feed_eof()

    assert made.length == 6
    assert [piece async for piece in made.chunks(10)] == [b"ABCD", b"de"]


COMPRESSED = {"gzip": gzip.compress, "x-gzip": gzip.compress, "Deflate": zlib.compress}


@pytest.mark.parametrize("encoding", COMPRESSED)
async def test_a_compressed_body_is_read_as_what_it_holds(encoding):
    data = COMPRESSED[encoding](b"x" * LIMIT)

    assert await incoming(data, content_encoding=encoding).read(LIMIT) == b"x" * LIMIT


@pytest.mark.parametrize(
    ("data", "encoding", "error"),
    [
        (gzip.compress(b"x" * (LIMIT + 1)), "gzip", BodyTooLarge),
        (gzip.compress(b"x" * 10**8), "gzip", BodyTooLarge),
        (gzip.compress(b"hello")[:-4], "gzip", InvalidBody),
        (b"no gzip at all", "gzip", InvalidBody),
        (b"{}", "br", UnsupportedEncoding),
        (gzip.compress(b"{}"), "gzip, gzip", UnsupportedEncoding),
    ],
)
async def test_what_cannot_be_unpacked_within_bounds_is_refused(data, encoding, error):
    with pytest.raises(error):
        await incoming(data, content_encoding=encoding).read(10**6 if len(data) > 10**4 else LIMIT)


async def test_a_client_that_asks_first_is_told_once_to_go_on():
    made = incoming(b"ab", is_over=False, content_length="4", expect="100-Continue")
    await made.peek(LIMIT, bool)
    made.payload.feed_data(b"cd")
    made.payload.feed_eof()

    assert await made.read(LIMIT) == b"abcd"
    assert made.connection.transport.log == [b"HTTP/1.1 100 Continue\r\n\r\n"]


async def test_a_client_that_has_gone_is_told_nothing_and_fails_who_reads():
    made = incoming(is_over=False, content_length="4", expect="100-continue")
    made.connection.transport = None
    reading = asyncio.create_task(made.read(LIMIT))
    await asyncio.sleep(0)
    made._cancel(ConnectionResetError())

    with pytest.raises(ConnectionResetError):
        await reading


async def test_a_client_that_leaves_after_its_body_changes_nothing_of_it():
    made = incoming(b"abcd")
    made._cancel(ConnectionResetError())

    assert made.is_read
    assert await made.read(LIMIT) == b"abcd"


async def test_a_body_that_stops_coming_is_given_up():
    with pytest.raises(RequestTimeout):
        await incoming(b"ab", is_over=False, content_length="4", body_s=0.0).read(LIMIT)


async def test_a_tunnel_reads_no_faster_than_its_far_side_takes():
    made, far = incoming(), Far()
    made.tunnel(far)
    parser, log = made.connection.parser, made.connection.transport.log

    assert parser.feed_data(b"a") == (False, b"")
    assert log == []
    far.takes = False
    parser.feed_data(b"b")
    assert (far.last, log) == (b"b", ["pause"])
    far.told()
    assert log == ["pause", "resume"]

    made.connection.transport = None
    parser.feed_data(b"c")
    far.told()
    parser.feed_eof()
