"""An event known but for a piece of text, so that its like need no parsing.

In one stream the events of a run differ in one string, and in Responses in a
number and some padding.  Comparing the rest byte for byte is all that is
needed to know where the string stands.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import orjson

from proxy.core.frame import Frame

_BODY = re.compile(rb'[^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*')
_NUMBER = re.compile(rb'"sequence_number":\s*(\d{1,12})')
_PADDING = b'"obfuscation":"'


Seen = tuple[Frame, int, int, int, str]
"""A frame that is like a template: where its string begins and ends, its sequence
number (-1 without one), and the string."""


class Template:
    """The bytes of an event around one string.  ``owner`` is whose string it is."""

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
        self.owner = owner

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

    def match(self, frame: Frame) -> Seen | None:
        """The string in ``frame``, if that is like this; ``None`` if not."""
        raw = frame.raw
        if not raw.startswith(self._before):
            return None
        start = len(self._before)
        number = -1
        if self._between:
            end = raw.find(self._between, start, start + 12 + len(self._between))
            if end < 0 or not raw[start:end].isdigit():
                return None
            number = int(raw[start:end])
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
        if end < start or (text := _said(raw[start:end])) is None:
            return None
        return frame, start, end, number, text

    def match_from(self, frames: Sequence[Frame], at: int) -> list[Seen]:
        """The same for as many frames from ``at`` on as are like this."""
        found: list[Seen] = []
        before, after = self._before, self._after
        start, left = len(before), len(after)
        is_plain = not self._between and not self._padded
        for i in range(at, len(frames)):
            frame = frames[i]
            raw = frame.raw
            if is_plain and raw.startswith(before) and raw.endswith(after):
                # Once an event: the plain case costs two comparisons.
                stop = len(raw) - left
                text = _said(raw[start:stop]) if start <= stop else None
                if text is None:
                    break
                found.append((frame, start, stop, -1, text))
                continue
            seen = self.match(frame)
            if seen is None:
                break
            found.append(seen)
        return found

    def filled(self, seen: Seen, text: str, shift: int) -> Frame:
        """The event with ``text`` in the place of its string, numbered on by ``shift``."""
        frame, start, stop, number, _ = seen
        head = frame.raw[:start]
        if shift and self._between:
            head = b"%s%d%s" % (self._before, number + shift, self._between)
        made = head + orjson.dumps(text)[1:-1] + frame.raw[stop:]
        return Frame(made, made[made.index(b"{") :].rstrip(), frame.event)


def _said(literal: bytes) -> str | None:
    """What stands between the quotes of a JSON string; ``None`` if that is none."""
    try:
        if b'"' not in literal and b"\\" not in literal:
            return literal.decode()
        return orjson.loads(b'"%s"' % literal) if _BODY.fullmatch(literal) else None
    except ValueError:
        return None
