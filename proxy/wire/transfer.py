"""Where a body ends in the bytes of a connection: RFC 9112, section 6.

Only the framing of an answer's body is read here; its head is read by
aiohttp's C parser.  Each decoder takes the bytes as the network tore them and
gives back the body's own bytes, so one read makes one piece.  aiohttp's
stream reader would make a Python call, and often a wake-up, for each chunk of
each read: a streamed token is one chunk, so that is the cost that counts.
"""

from __future__ import annotations

from typing import Final, Protocol

from proxy.core.errors import UpstreamProtocol, UpstreamReset

MAX_SIZE_LINE: Final = 1024
"""Longest chunk-size line, extensions included; real ones are under 20 bytes."""

MAX_TRAILERS: Final = 16 * 1024
"""Longest trailer section; they are read and dropped."""

_LAST: Final = b"\r\n0\r\n\r\n"
"""The end of a chunk and then that of a body, without trailers."""

_HEX: Final = frozenset(b"0123456789abcdefABCDEF")


class Transfer(Protocol):
    """Takes bytes of the connection, gives bytes of the body.

    ``is_done`` turns true with the body's last byte.  ``can_reuse`` says
    whether the connection is at a clean boundary after that.
    """

    is_done: bool
    can_reuse: bool

    def feed(self, data: bytes) -> bytes:
        """Body bytes in ``data``.  Raises ``UpstreamProtocol``."""
        ...

    def end(self) -> None:
        """The peer closed.  Raises ``UpstreamReset`` if that is too early."""
        ...


class Fixed:
    """A body of a length told beforehand, in bytes."""

    __slots__ = ("_left", "can_reuse", "is_done")

    def __init__(self, length: int) -> None:
        self._left = length
        self.is_done = length == 0
        self.can_reuse = True

    def feed(self, data: bytes) -> bytes:
        """All of ``data`` up to the length; more makes reuse unsafe."""
        extra = len(data) - self._left
        if extra > 0:
            self.can_reuse = False
            data = data[: self._left]
        self._left -= len(data)
        self.is_done = self._left == 0
        return data

    def end(self) -> None:
        """Too early unless the length was reached."""
        if not self.is_done:
            raise UpstreamReset(f"the upstream closed {self._left} bytes before the end")


class UntilClose:
    """A body that ends when the upstream closes the connection."""

    __slots__ = ("can_reuse", "is_done")

    def __init__(self) -> None:
        self.is_done = False
        self.can_reuse = False

    def feed(self, data: bytes) -> bytes:
        """All of it."""
        return data

    def end(self) -> None:
        """The proper end of such a body."""
        self.is_done = True


class Chunked:
    """A chunked body.  Sizes are strict hexadecimal; extensions are dropped."""

    __slots__ = ("_held", "_in_trailers", "_left", "can_reuse", "is_done")

    def __init__(self) -> None:
        self._left = 0  # bytes of the current chunk still to come, its CRLF included
        self._held = b""  # a size line or trailer section that is not whole yet
        self._in_trailers = False
        self.is_done = False
        self.can_reuse = True

    def feed(self, data: bytes) -> bytes:
        """The payloads of the chunks in ``data``, joined."""
        if self._held:
            data = self._held + data
            self._held = b""
        left = self._left
        if left > 2 and len(data) <= left - 2:
            self._left = left - len(data)
            return data
        if not left and not self._in_trailers:
            eol = data.find(b"\r\n")
            if _KNOWN.get(data[:eol]) == len(data) - eol - 4 and data.endswith(b"\r\n"):
                # One whole chunk and nothing else, as a token mostly comes.
                return data[eol + 2 : -2]
            is_last = data.endswith(_LAST)
            payloads = _cut(data[:-5] if is_last else data)
            if payloads is not None:
                self.is_done = is_last
                return b"".join(payloads)
        return self._walk(data)

    def _walk(self, data: bytes) -> bytes:
        """Chunk by chunk, from wherever the last read ended."""
        left = self._left
        at, size = 0, len(data)
        out: list[bytes] = []
        while at < size and not self._in_trailers:
            if left:
                at, left = self._payload(data, at, left, out)
                continue
            eol = data.find(b"\r\n", at)
            if eol < 0:
                self._hold_size_line(data, at)
                at = size
                break
            line = data[at:eol]
            length = _KNOWN.get(line) or _size(line)
            at = eol + 2
            end = at + length
            if length and data[end : end + 2] == b"\r\n":
                # A whole chunk, as nearly all are: this loop is what a token costs.
                out.append(data[at:end])
                at = end + 2
            elif length:
                left = length + 2
            else:
                self._in_trailers = True
        self._left = left
        if self._in_trailers:
            self._trailers(data[at:])
        return out[0] if len(out) == 1 else b"".join(out)

    @staticmethod
    def _payload(data: bytes, at: int, left: int, out: list[bytes]) -> tuple[int, int]:
        """Take what ``data`` has of a chunk and its CRLF; new place and rest."""
        end = at + left
        if left > 2:
            piece = data[at : end - 2]
            if piece:
                out.append(piece)
        tail = data[max(at, end - 2) : end]
        if tail != b"\r\n"[2 - min(left, 2) :][: len(tail)]:
            raise UpstreamProtocol("the upstream's chunk is longer than it announced")
        here = min(end, len(data))
        return here, end - here

    def _hold_size_line(self, data: bytes, at: int) -> None:
        self._held = data[at:]
        if len(self._held) > MAX_SIZE_LINE:
            raise UpstreamProtocol("the upstream sent a chunk size without an end")
        if self._held[0] not in _HEX:
            raise UpstreamProtocol("the upstream sent a chunk size that is no number")

    def _trailers(self, data: bytes) -> None:
        if data.startswith(b"\r\n"):
            self._finish(len(data) - 2)
            return
        end = data.find(b"\r\n\r\n")
        if end >= 0:
            self._finish(len(data) - end - 4)
            return
        if len(data) > MAX_TRAILERS:
            raise UpstreamProtocol("the upstream's trailers have no end")
        self._held = data

    def _finish(self, extra: int) -> None:
        self.is_done = True
        self.can_reuse = extra == 0

    def end(self) -> None:
        """Too early unless the last chunk was seen."""
        if not self.is_done:
            raise UpstreamReset("the upstream closed before the last chunk")


def _cut(data: bytes) -> list[bytes] | None:
    """The payloads of ``data`` if it is whole chunks of no line breaks, as the
    events of a burst are; cut in one go and not one by one.

    Where the pieces between line breaks have the sizes announced before them,
    they are the chunks.
    """
    pieces = data.split(b"\r\n")
    payloads = pieces[1::2]
    sizes = [*map(_KNOWN.get, pieces[:-1:2])]
    return payloads if not pieces[-1] and sizes == [*map(len, payloads)] else None


def _size(line: bytes) -> int:
    number = line.partition(b";")[0].rstrip(b" \t") if not line.isalnum() else line
    # int() alone would also take a sign, underscores and blanks.
    if not number or len(number) > 15 or not _HEX.issuperset(number):
        raise UpstreamProtocol("the upstream sent a chunk size that is no number")
    size = int(number, 16)
    if size and line is number and len(_KNOWN) < 8192:
        _KNOWN[line] = size
    return size


_KNOWN: Final[dict[bytes, int]] = {}
"""Size lines that were read before: streams repeat a few of them."""


def transfer(
    *, status: int, is_head: bool, encoding: bytes | None, length: bytes | None
) -> Transfer:
    """The decoder for an answer, from its framing headers.

    Raises ``UpstreamProtocol`` where they contradict each other, because two
    readers that disagree on a body's end is how answers get swapped.
    """
    if is_head or status in (204, 304) or 100 <= status < 200:
        return Fixed(0)
    if encoding is not None:
        if encoding.strip().lower() != b"chunked":
            raise UpstreamProtocol("the upstream used a transfer encoding other than chunked")
        if length is not None:
            raise UpstreamProtocol("the upstream sent both a length and chunks")
        return Chunked()
    if length is not None:
        if not length.isdigit() or len(length) > 15:
            raise UpstreamProtocol("the upstream sent a content-length that is no number")
        return Fixed(int(length))
    return UntilClose()
