"""What is done to an event stream that no policy reads: very little.

A stream goes on as the upstream framed it.  On the way this module counts
events, reads usage and finish reason from the few events that carry them,
hides the usage event that only we asked for, and mends what is known to break
clients' decoders: a byte-order mark, ``id:`` and ``retry:`` lines, blocks
without data, ``"error": null``.  At the end it says whether the stream really
was complete, because clients take a stream that merely stops for a success.

Every read is first tried against cheap byte searches that recognise the plain
case; only what fails them is taken apart.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from proxy.core.endpoint import Dialect
from proxy.core.errors import UpstreamTruncated
from proxy.core.exchange import Usage
from proxy.wire.events import (
    BLANK,
    MARKS,
    TERMINAL,
    has_content,
    joined,
    last_in,
    number_after,
    split,
    taken_apart,
)
from proxy.wire.usage import finish_in, merged, usage_in

MAX_HELD: Final = 64 * 1024
"""Bytes of an unfinished event that are held back; the rest of a larger one
is passed on torn, because nothing that must be hidden is that large."""

_BOM: Final = b"\xef\xbb\xbf"
_DONE: Final = b"data: [DONE]\n\n"


class Relay:
    """One event stream going by.

    ``events`` counts the events passed on that carry data, ``usage`` and
    ``finish`` are what the stream said last, ``error`` is the payload of an
    error event.  ``has_content`` turns true with the first event that is more
    than a role or a keep-alive, which is what time to first token means.
    """

    __slots__ = (
        "_dialect",
        "_has_bom_passed",
        "_held",
        "_hides_usage",
        "_is_steady",
        "_tail",
        "error",
        "events",
        "finish",
        "has_content",
        "is_done",
        "is_torn",
        "usage",
    )  # fmt: skip

    def __init__(self, dialect: Dialect, *, hides_usage: bool) -> None:
        self._dialect = dialect
        self._hides_usage = hides_usage
        self._held = bytearray()
        self._tail = b""
        self.is_torn = False
        self._has_bom_passed = False
        self._is_steady = False  # content has begun, and nothing is held, torn or over
        self.events = 0
        self.usage: Usage | None = None
        self.finish = ""
        self.error: dict[str, Any] | None = None
        self.has_content = False
        self.is_done = False

    @property
    def sequence_number(self) -> int:
        """The number that the next Responses event would have."""
        return number_after(self._tail) if self._dialect == "responses" else 0

    def feed(self, data: bytes) -> bytes:
        """What of ``data`` may go on now: whole events."""
        if (
            # One plain event and nothing else, as a read mostly is.
            self._is_steady
            and data.startswith(b"data: {")
            and data.find(b"\n", 7) == len(data) - 2
            and data.endswith(b"\n\n")
            and b'_tokens"' not in data
            and b'"error"' not in data
        ):
            self.events += 1
            self._tail = data
            return data
        out = self._feed(data)
        self._is_steady = self.has_content and not (self._held or self.is_torn or self.is_done)
        return out

    def _feed(self, data: bytes) -> bytes:
        held = self._held
        most = MAX_HELD if self._has_bom_passed and not self.is_torn else 0
        if held and not (data := joined(held, data, most)):
            return b""
        if not self._has_bom_passed:
            if len(data) < 3 and _BOM.startswith(data):
                held += data
                return b""
            self._has_bom_passed = True
            data = data.removeprefix(_BOM)
        if self.is_torn:
            return self._torn(data)
        if data.endswith((b"\n\n", b"\n\r\n")):
            return self._whole(data)
        end = max(data.rfind(b"\n\n") + 2, data.rfind(b"\n\r\n") + 3)
        end = end if end > 2 else 0
        rest = data[end:]
        if len(rest) > MAX_HELD:
            self.is_torn = True
            return self._whole(data[:end]) + self._torn(rest)  # but for half a blank line
        held += rest
        return self._whole(data[:end]) if end else b""

    def _whole(self, data: bytes) -> bytes:
        """Whole events: only those that may say something are taken apart."""
        if self._is_over:
            return b""
        # Taken off first, as no other event of a chat is without an object.
        is_last = data.endswith(_DONE) and self._dialect != "responses"
        plain = data[: -len(_DONE)] if is_last else data
        count = self._count(plain)
        if not count and plain:
            return b"".join([self._event(raw) for raw in split(data) if not self._is_over])
        out: list[bytes] = []
        at = 0
        while not self.has_content and at < len(plain):
            end = plain.find(b"\n\n", at) + 2
            out.append(self._event(plain[at:end]))
            at = end
        for start, end in self._spots(plain, at):
            self._skip(plain, at, start, out)
            out.append(self._event(plain[start:end]))
            at = end
            if self._is_over:
                return b"".join(out)
        if not out and not is_last:
            self.events += count
            self._tail = data
            return data
        self._skip(plain, at, len(plain), out)
        if is_last:
            out.append(self._event(_DONE))
        return b"".join(out)

    @property
    def _is_over(self) -> bool:
        """Whether ``[DONE]`` has passed: after it, decoders choke on anything."""
        return self.is_done and self._dialect == "chat"

    def _skip(self, data: bytes, start: int, end: int, out: list[bytes]) -> None:
        """Events that say nothing to us."""
        if start < end:
            lines = 3 if self._dialect == "responses" else 2
            self.events += data.count(b"\n", start, end) // lines
            self._tail = data[start:end]
            out.append(self._tail)

    def _count(self, data: bytes) -> int:
        """How many events there are, if every one is one line of data that is an
        object (after a line of event in Responses); 0 if anything else is there.

        Beginnings are counted and then line breaks: were there another line
        anywhere, there would be more of them.
        """
        if not data.endswith(b"\n\n"):
            return 0
        if self._dialect == "responses":
            count = data.count(b"\n\nevent: ") + 1
            is_plain = data.startswith(b"event: ") and data.count(b"\ndata: {") == count
            return count if is_plain and data.count(b"\n") == count * 3 else 0
        count = data.count(b"\n\ndata: {") + 1
        is_plain = data.startswith(b"data: {") and data.count(b"\n") == count * 2
        return count if is_plain else 0

    def _spots(self, data: bytes, start: int) -> list[tuple[int, int]]:
        """Begin and end of the events of plain ``data`` that must be read."""
        found: dict[int, int] = {}
        for mark in MARKS[self._dialect]:
            at = data.find(mark, start)
            while at >= 0:
                blank = data.rfind(b"\n\n", start, at)
                end = data.find(b"\n\n", at) + 2
                found[start if blank < 0 else blank + 2] = end
                at = data.find(mark, end)
        return sorted(found.items()) if found else []

    def _torn(self, data: bytes) -> bytes:
        """On with an event too large to hold, up to its blank line."""
        blank = BLANK.search(data)
        if blank is not None:
            self.is_torn = False
            self.events += 1
            self.has_content = True
            rest = data[blank.end() :]
            return data[: blank.end()] + (self.feed(rest) if rest else b"")
        # The end of this piece may be the first half of the blank line: a break and a CR.
        keep = min(2, len(data) - len(data.rstrip(b"\r\n")))
        self._held += data[len(data) - keep :]
        return data[: len(data) - keep]

    def _event(self, raw: bytes) -> bytes:
        """One whole event: read it, mend it, or drop it."""
        data, kept, is_mended = taken_apart(raw)
        if not data:
            is_comment = bool(kept) and all(line.startswith(b":") for line in kept)
            return raw if is_comment and not is_mended else b""
        before, self._tail = self._tail, raw
        if data == b"[DONE]":
            self.is_done = True
            self._look_back(before)
        else:
            seen = self._read(data)
            if self.usage is not None:
                self._look_back(before)
            if seen is None:
                return b""
            if seen is not data:
                kept = [*(line for line in kept if not line.startswith(b"data:")), b"data: " + seen]
                is_mended = True
        self.events += 1
        return b"\n".join(kept) + b"\n\n" if is_mended else raw

    def _read(self, data: bytes) -> bytes | None:
        """Take note of one payload; the payload to send, or ``None`` to hide it."""
        try:
            event = orjson.loads(data)
        except orjson.JSONDecodeError:
            self.has_content = True
            return data
        if not isinstance(event, dict):
            return data
        usage = usage_in(event)
        if usage is not None:
            self.usage = merged(self.usage, usage)
        self.finish = finish_in(event) or self.finish
        if isinstance(event.get("type"), str) and event["type"] in TERMINAL:
            self.is_done = True
        if not self.has_content:
            self.has_content = has_content(event)
        if event.get("error"):
            error = event["error"]
            self.error = error if isinstance(error, dict) else {"message": str(error)[:200]}
        elif event.get("type") == "error":
            self.error = event
        elif "error" in event:
            del event["error"]
            data = orjson.dumps(event)
        if self._hides_usage and usage is not None and event.get("choices") == []:
            return None
        return data

    def _look_back(self, tail: bytes) -> None:
        """Find the finish reason in the events that came before the last ones.

        It stands in one event of many, and is only wanted at the end, so it is
        not looked for until something says that the end has come.
        """
        if not self.finish and (event := last_in(tail)) is not None:
            self.finish = finish_in(event)

    def end(self) -> bytes:
        """The body is over: what was still held, ended properly if it is whole."""
        held = bytes(self._held)
        self._held.clear()
        if self.is_torn or not held.strip():
            return b""
        line = held.strip().rpartition(b"data:")[2].strip()
        try:
            is_whole = line == b"[DONE]" or isinstance(orjson.loads(line), dict)
        except orjson.JSONDecodeError:
            is_whole = False
        return self._event(held.rstrip(b"\r\n") + b"\n\n") if is_whole else b""

    def check(self) -> None:
        """Raise ``UpstreamTruncated`` if the stream stopped before its end."""
        if self._dialect == "plain" and not self.is_torn:
            return
        self._look_back(self._tail)
        if self._dialect == "chat" and (self.is_done or self.finish or self.usage or self.error):
            return
        if self._dialect == "responses" and (self.is_done or self.error):
            return
        raise UpstreamTruncated("the upstream's stream stopped before its last event")
