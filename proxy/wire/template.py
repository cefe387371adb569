"""An event known but for a piece of text, so that its like need no parsing.

In one stream the events of a run differ in one string, and in Responses in a
number and some padding.  Comparing the rest byte for byte is all that is
needed to know where the string stands.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from proxy.core.frame import Frame

_BODY = re.compile(rb'[^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*')
_NUMBER = re.compile(rb'"sequence_number":\s*(\d{1,12})')
_PADDING = b'"obfuscation":"'


class Template:
    """The bytes of an event around one string.  ``owner`` is whose string it is.

    ``number`` is the sequence number of the event matched last, -1 without one.
    """

    __slots__ = (
        "_after",
        "_before",
        "_between",
        "_end",
        "_padded",
        "_start",
        "_stop",
        "number",
        "owner",
    )

    def __init__(self, before: bytes, between: bytes, after: bytes, owner: Any) -> None:
        self._before = before
        self._between = between
        padding, found, _ = after.partition(_PADDING)
        self._padded = bool(found)
        self._after = padding + found
        self._end = after[after.index(b'"', len(padding) + len(found)) :] if found else b""
        self._start = self._stop = 0
        self.owner = owner
        self.number = -1

    @classmethod
    def of(cls, raw: bytes, name: str, owner: Any) -> Template | None:
        """The template of ``raw`` around its one string called ``name``."""
        for mark in (b'"%s":"' % name.encode(), b'"%s": "' % name.encode()):
            if raw.count(mark) == 1:
                start = raw.index(mark) + len(mark)
                break
        else:
            return None
        body = _BODY.match(raw, start)
        assert body is not None
        before, after = raw[:start], raw[body.end() :]
        number = _NUMBER.search(before)
        if number is not None:
            return cls(before[: number.start(1)], before[number.end(1) :], after, owner)
        # A number behind the string would have to be found again each time.
        return None if b'"sequence_number"' in after else cls(before, b"", after, owner)

    def literal(self, raw: bytes) -> bytes | None:
        """What stands between the quotes, if ``raw`` is like this."""
        if not raw.startswith(self._before):
            return None
        start = len(self._before)
        if self._between:
            end = raw.find(self._between, start, start + 12 + len(self._between))
            if end < 0 or not raw[start:end].isdigit():
                return None
            self.number = int(raw[start:end])
            start = end + len(self._between)
        if self._padded:
            end = raw.rfind(self._after, start)
            padding = raw[end + len(self._after) : -len(self._end)]
            if end < 0 or not raw.endswith(self._end) or not (padding.isalnum() or not padding):
                return None
        elif raw.endswith(self._after):
            end = len(raw) - len(self._after)
        else:
            return None
        if end < start:
            return None
        literal = raw[start:end]
        if (b'"' in literal or b"\\" in literal) and not _BODY.fullmatch(literal):
            return None
        self._start, self._stop = start, end
        return literal

    def seen(self, frame: Frame) -> Seen:
        """Where the string stands in the frame that ``literal`` was asked about."""
        return Seen(frame, self._start, self._stop, self.number)

    def filled(self, seen: Seen, text: str, shift: int) -> Frame:
        """The event with ``text`` in the place of its string, numbered on by ``shift``."""
        raw = seen.frame.raw
        head = raw[: seen.start]
        if shift and self._between:
            head = b"%s%d%s" % (self._before, seen.number + shift, self._between)
        made = head + orjson.dumps(text)[1:-1] + raw[seen.stop :]
        return Frame(made, made[made.index(b"{") :].rstrip(), seen.frame.event)


class Seen:
    """One event that is like a template: where its string stands, its number."""

    __slots__ = ("frame", "number", "start", "stop")

    def __init__(self, frame: Frame, start: int, stop: int, number: int) -> None:
        self.frame = frame
        self.start = start
        self.stop = stop
        self.number = number

    def text(self) -> str:
        """The string."""
        literal = self.frame.raw[self.start : self.stop]
        return orjson.loads(b'"%s"' % literal) if b"\\" in literal else literal.decode()
