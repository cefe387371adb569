"""Finds candidates with RE2 and lets the detectors judge them.

All detectors stand in one alternation, the gate.  Where it finds a candidate,
those of them that can begin with that byte are tried there on their own, so
that a candidate which one of them refuses hides nothing from the others.  It
goes from left to right and never looks further left than one character, which
is what lets the same code read a stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from proxy.redact.detector import Detector, Finding
from proxy.redact.patterns import closure, program, shortest
from proxy.redact.scan import scan
from proxy.redact.views import SEEN

MAX_TRIED: Final = 20_000
"""Candidates of one text that are tried; text that has more is refused."""

MAX_LENGTH: Final = 8192
"""Bytes of the longest candidate of all, which is the most that is held back."""

_SAMPLES: Final = tuple("éßΑжа中あ한अ🙂０\u200b\u00a0–")

MEMORY: Final = 24 << 20
"""Bytes that the states of one large program may take; it builds those it meets."""

FEW: Final = 80
"""Bytes up to which single places are tried."""

_WORD: Final = tuple(chr(b).isalnum() or b == 95 for b in range(128)) + (False,) * 128


class TooMany(ValueError):
    """The text has more candidates than there is time for."""


class _Ready:
    """A detector with its programs."""

    __slots__ = ("_inner", "detector", "end_at", "judge", "value")

    def __init__(self, detector: Detector, inner: Engine | None) -> None:
        self._inner = inner
        self.detector = detector
        self.end_at = program(detector.whole).end_at
        self.value = None
        if detector.value:
            self.value = program(f"{detector.pattern}({detector.value})").group_at
        self.judge = detector.judge

    def at(self, text: bytes, start: int) -> Finding | None:
        """What begins at ``start``, if it is what the detector looks for."""
        d = self.detector
        most = min(start + d.longest + 1, len(text))
        end = self.end_at(text, start, most)
        if end <= start or end - start > d.longest:
            return None
        if d.unless is not None and d.unless.search(text[max(0, start - SEEN) : start]):
            return None
        origin = start
        if self.value is not None:
            start, end = self.value(text, start, most)
        if d.decode is not None:
            return self._within(text, start, end)
        if self.judge is not None:
            end = start + self.judge(text[start:end])
        return Finding(start, end, d.kind, d.form, origin) if end > start else None

    def _within(self, text: bytes, start: int, end: int) -> Finding | None:
        d = self.detector
        assert d.decode is not None
        plain = d.decode(text[start:end])
        found: list[Finding] = []
        if plain is not None and self._inner is not None:
            found, _ = scan(self._inner, plain, 0, is_final=True)
        if not found:
            return None
        return Finding(start, end, found[0].kind, f"{found[0].form}, {d.form}", start)


class Engine:
    """Some detectors, made one.  ``inner`` looks into what is encoded."""

    def __init__(self, detectors: Sequence[Detector], inner: Engine | None = None) -> None:
        self._ready = [_Ready(d, inner) for d in detectors]
        sources = [d.whole for d in detectors]
        gate = "|".join(map(shortest, sources))
        self._gate = program(gate, MEMORY) if sources else None
        begun = [closure(source) for source in sources]
        self._begun = self._ending = None
        if sources:
            self._begun = program("|".join(begun), MEMORY, is_longest=True)
            self._ending = program(f"(?:{'|'.join(begun)})\\z", MEMORY)
        self._by_first = _by_first(self._ready, begun)
        self._outside = [bool(row) for row in self._by_first]
        self._inside = (
            [
                self._outside[b]
                and (b >= 0x80 or self._begun.end_at(b"a" + bytes((b,)), 1, 2) == 2)
                for b in range(256)
            ]
            if self._begun
            else []
        )

    @property
    def reads_within(self) -> bool:
        """No detector asks for the beginning or the end of a text."""
        return True

    def may_find(self, text: bytes) -> bool:
        """Whether there is a candidate."""
        return self._gate is not None and self._gate.find(text, 0, len(text))[0] >= 0

    @property
    def as_written(self) -> None:
        """All detectors know text as it reads."""

    def first(self, text: bytes, start: int, limit: int) -> Finding | None:
        """The leftmost finding that begins in ``text[start:limit]``.

        Where several begin at one place: the highest rank, then the longest.
        """
        if self._gate is None:
            return None
        find, end = self._gate.find, len(text)
        for _ in range(MAX_TRIED):
            at, _ = find(text, start, end)
            if at < 0 or at >= limit:
                return None
            found = self._best(text, at)
            if found is not None:
                return found
            start = at + 1
            while start < end and text[start] & 0xC0 == 0x80:
                start += 1
        raise TooMany

    def _best(self, text: bytes, at: int) -> Finding | None:
        best, best_rank = None, 0
        for ready in self._by_first[text[at]]:
            found = ready.at(text, at)
            if found is None:
                continue
            rank = ready.detector.rank
            if best is None or (rank, found.end) > (best_rank, best.end):
                best, best_rank = found, rank
        return best

    def open_at(self, text: bytes, start: int) -> int:
        """The leftmost place from which a match may still grow.

        The length of ``text`` if there is none.  Over a few words, trying single
        places forwards beats one search anchored at the end: RE2 runs that one
        backwards, with every state of every pattern alive in its first step.
        """
        end = len(text)
        if self._begun is None or self._ending is None:
            return end
        if end - start > FEW:
            at, _ = self._ending.find(text, max(start, end - MAX_LENGTH), end)
            return end if at < 0 else at
        reach = self._begun.end_at
        is_word = start > 0 and _WORD[text[start - 1]]
        for at in range(max(start, end - MAX_LENGTH), end):
            byte = text[at]
            may_begin = self._inside if is_word else self._outside
            if may_begin[byte] and reach(text, at, end) == end:
                return at
            is_word = _WORD[byte]
        return end


def _by_first(ready: list[_Ready], begun: list[str]) -> list[tuple[_Ready, ...]]:
    """For each byte, the detectors whose candidates may begin with it."""
    table: list[list[_Ready]] = [[] for _ in range(256)]
    samples = [bytes((b,)) for b in range(128)] + [c.encode() for c in _SAMPLES]
    for one, source in zip(ready, begun, strict=True):
        made = program(f"(?:{source})\\z")
        for sample in samples:
            if made.end_at(sample, 0, len(sample)) == len(sample):
                if len(sample) == 1:
                    table[sample[0]].append(one)
                else:
                    for byte in range(0xC2, 0xF5):
                        if one not in table[byte]:
                            table[byte].append(one)
    return [tuple(row) for row in table]
