"""All findings of a text, over all its views and all sources, left to right.

The same code reads a whole text and what has come of a stream so far: a
finding is taken once nothing that may still come can change it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from proxy.redact.detector import Finding
from proxy.redact.views import View, views


class Source(Protocol):
    """Something that finds in bytes, leftmost first.

    ``as_written`` is the part of it that also wants the text as it stands where
    that reads otherwise; the rest loses nothing by the reading.
    """

    @property
    def as_written(self) -> Source | None:
        """What of it, if anything."""
        ...

    @property
    def reads_within(self) -> bool:
        """Whether it finds the same in a text that stands within another, in quotes."""
        ...

    def may_find(self, text: bytes) -> bool:
        """Whether there is anything to look at closer; false is certain."""
        ...

    def first(self, text: bytes, start: int, limit: int) -> Finding | None:
        """The leftmost finding that begins in ``text[start:limit]``."""
        ...

    def open_at(self, text: bytes, start: int) -> int:
        """From where on a finding may still grow; the length if nowhere."""
        ...


def scan(source: Source, text: str, start: int, *, is_final: bool) -> tuple[list[Finding], int]:
    """Findings in characters of ``text`` from ``start`` on, and how far that is
    the last word.
    """
    if not text.isascii():
        return _scan_views(source, text, start, is_final=is_final)
    data = text.encode()
    limit = len(data) if is_final else source.open_at(data, start)
    found = []
    while start < limit and (one := source.first(data, start, limit)) is not None:
        found.append(one)
        start = one.end
        if start > limit:
            limit = source.open_at(data, start)
    return found, max(limit, start)


class _Cursor:
    """How far one view has been read."""

    __slots__ = ("_is_final", "_source", "limit", "next", "start", "view")

    def __init__(self, source: Source, view: View, char: int, *, is_final: bool) -> None:
        self._source = source
        self._is_final = is_final
        self.view = view
        self.limit = -1
        self.next: Finding | None = None
        self.start = -1
        self.move(char)

    def move(self, char: int) -> None:
        """Go on from a character of the text."""
        view, source = self.view, self._source
        offset = view.offset(char)
        if offset > self.limit:
            length = len(view.data)
            self.limit = length if self._is_final else source.open_at(view.data, offset)
        if self.start < 0 or (self.next is not None and self.next.origin < offset):
            is_any = offset < self.limit
            self.next = source.first(view.data, offset, self.limit) if is_any else None
        self.start = offset

    def found(self) -> Finding | None:
        """The next finding, in characters of the text."""
        one, view = self.next, self.view
        if one is None:
            return None
        origin, start = view.char(one.origin), view.char(one.start)
        return Finding(start, view.char(one.end, is_end=True), one.kind, one.form, origin)


def _scan_views(
    source: Source, text: str, start: int, *, is_final: bool
) -> tuple[list[Finding], int]:
    written, *read = views(text)
    cursors = [_Cursor(source, view, start, is_final=is_final) for view in read]
    first = source.as_written if read else source
    if first is not None:
        cursors.append(_Cursor(first, written, start, is_final=is_final))
    found: list[Finding] = []
    while True:
        until = min(c.view.char(c.limit) for c in cursors)
        nexts = [one for c in cursors if (one := c.found()) is not None]
        nexts = [one for one in nexts if one.origin < until or is_final]
        if not nexts:
            return found, max(until, start)
        best = min(nexts, key=lambda one: (one.origin, -one.end))
        found.append(best)
        start = best.end
        for cursor in cursors:
            cursor.move(start)


class Sources:
    """Several sources as one, for requests: what is wanted comes before what
    merely looks like it.
    """

    __slots__ = ("_as_written", "_found", "_limit", "_sources", "_text")

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = tuple(sources)
        self._text = b""
        self._limit = -1
        self._found: list[Finding | None] = []
        written = [one for s in self._sources if (one := s.as_written) is not None]
        self._as_written: Source | None = self
        if len(written) < len(self._sources):
            self._as_written = Sources(written) if written else None

    @property
    def as_written(self) -> Source | None:
        """Those of them that want it."""
        return self._as_written

    @property
    def reads_within(self) -> bool:
        """Whether all of them do."""
        return all(source.reads_within for source in self._sources)

    def may_find(self, text: bytes) -> bool:
        """Whether any of them may."""
        return any(source.may_find(text) for source in self._sources)

    def first(self, text: bytes, start: int, limit: int) -> Finding | None:
        """The leftmost of all; of those that begin together the longest.

        What a source found further right is remembered until it is reached,
        or each finding of one would send all others through the whole text.
        """
        if text is not self._text or limit != self._limit:
            self._text, self._limit = text, limit
            self._found = [source.first(text, start, limit) for source in self._sources]
        best = None
        for i, source in enumerate(self._sources):
            one = self._found[i]
            if one is not None and one.origin < start:
                one = self._found[i] = source.first(text, start, limit)
            if one is not None and (
                best is None or (one.origin, -one.end) < (best.origin, -best.end)
            ):
                best = one
        return best

    def open_at(self, text: bytes, start: int) -> int:
        """The leftmost of all."""
        return min((s.open_at(text, start) for s in self._sources), default=len(text))
