"""Reads one answer out of a connection's bytes: head by head, then its body.

The head is aiohttp's C parser's work, one parser for all answers of a
connection: told that no answer has a body, it stops after each head.  The
body is ``wire.transfer``'s.  Nothing here knows of sockets.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpResponseParser, RawResponseMessage

from proxy.core.errors import UpstreamProtocol
from proxy.wire.headers import AnswerHeaders
from proxy.wire.transfer import Fixed, Transfer, UntilClose, transfer

MAX_HEAD: Final = 64 * 1024
"""Bytes of an answer's head."""

MAX_INFORMATIONAL: Final = 16
"""1xx answers before the one that counts."""

_NO_HEADERS: Final = AnswerHeaders(())
_NO_BODY: Final = Fixed(0)


class AnswerReader:
    """One answer after another.

    ``head`` is there once it has come, ``headers`` is what it says, ``body``
    decodes what follows.  1xx answers are hop-by-hop and passed over.
    """

    __slots__ = ("_held", "_informational", "_is_head", "_is_upgrade", "_parser", "body", "head",
                 "headers")  # fmt: skip

    def __init__(self, protocol: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._parser = HttpResponseParser(
            protocol,
            loop,
            MAX_HEAD,
            max_line_size=MAX_HEAD,
            max_field_size=MAX_HEAD,
            max_headers=256,
            response_with_body=False,
            auto_decompress=False,
        )
        self.expect(is_head=False, is_upgrade=False)

    def expect(self, *, is_head: bool, is_upgrade: bool) -> None:
        """The next answer is to a HEAD request, or to an upgrade."""
        self._held = bytearray()
        self._informational = 0
        self._is_head = is_head
        self._is_upgrade = is_upgrade
        self.head: RawResponseMessage | None = None
        self.headers = _NO_HEADERS
        self.body: Transfer = _NO_BODY

    @property
    def is_clean(self) -> bool:
        """Whether the answer is over, and another may follow on the connection."""
        return (
            self.head is not None
            and self.body.is_done
            and self.body.can_reuse
            and not self.head.should_close
        )

    def feed(self, data: bytes) -> bytes:
        """Bytes of the body in ``data``.  Raises ``UpstreamProtocol``."""
        if self.head is None:
            data = self._read_head(data)
            if not data:
                return b""
        if self.body.is_done:
            raise UpstreamProtocol("the upstream sent more than its answer")
        return self.body.feed(data)

    def _read_head(self, data: bytes) -> bytes:
        """Bytes after the head, if it is whole."""
        held = self._held
        if held:
            # Of a head that comes in drops each byte is looked at once.
            seam = max(0, len(held) - 3)
            held += data
            if held.find(b"\r\n\r\n", seam) < 0 and len(held) <= MAX_HEAD:
                return b""
            data = bytes(held)
            held.clear()
        while True:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                if len(data) > MAX_HEAD:
                    raise UpstreamProtocol("the upstream's head is over 64 KiB")
                held += data
                return b""
            message = self._parse(data[: end + 4])
            data = data[end + 4 :]
            if message.code >= 200 or (message.code == 101 and self._is_upgrade):
                break
            self._informational += 1
            if message.code == 101 or self._informational > MAX_INFORMATIONAL:
                raise UpstreamProtocol(f"the upstream answered {message.code} to a plain request")
        self.headers = headers = AnswerHeaders(message.raw_headers)
        if headers.lengths > 1:
            raise UpstreamProtocol("the upstream sent two content-lengths")
        if message.code == 101:
            self.body = UntilClose()
        else:
            self.body = transfer(
                status=message.code,
                is_head=self._is_head,
                encoding=headers.transfer,
                length=headers.length,
            )
        self.head = message
        return data

    def _parse(self, head: bytes) -> RawResponseMessage:
        try:
            messages, _, _ = self._parser.feed_data(head)
        except HttpProcessingError as exc:
            raise UpstreamProtocol("the upstream's answer is not HTTP/1.1") from exc
        if len(messages) != 1:
            raise UpstreamProtocol("the upstream's answer is not HTTP/1.1")
        message: RawResponseMessage = messages[0][0]
        return message
