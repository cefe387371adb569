"""What a detector is: a pattern for candidates and a judge over them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from re import Pattern

Judge = Callable[[bytes], int]
"""How many bytes of a candidate are really it; 0 if it is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """One form in which one kind of text is written.

    ``kind`` is what the configuration calls it, ``form`` names the detector
    among those of its kind.  ``pattern`` finds candidates; where ``value`` is
    given, the candidate is words of context and then ``value``, and only the
    latter is meant.  ``judge`` has the last word; without one every candidate
    counts.  With ``decode`` a candidate is a code, and it counts if something is
    found in what it stands for.  What ``unless`` is found at the end of, in the few
    characters before a candidate, makes it none.  ``rank`` decides between candidates that begin at the same place:
    the higher, then the longer.  Candidates of more than ``longest`` bytes are none.
    """

    kind: str
    form: str
    pattern: str
    value: str = ""
    judge: Judge | None = None
    decode: Callable[[bytes], str | None] | None = None
    unless: Pattern[bytes] | None = None
    rank: int = 1
    longest: int = 512

    @property
    def whole(self) -> str:
        """The pattern with its context."""
        return f"{self.pattern}(?:{self.value})" if self.value else self.pattern


@dataclass(frozen=True, slots=True)
class Finding:
    """A place in a text, from ``start`` up to ``end``, and what stands there.

    ``origin`` is where the words of context begin without which it would be
    nothing, or ``start``; findings are taken in its order.
    """

    start: int
    end: int
    kind: str
    form: str
    origin: int


def digits_of(text: bytes) -> str:
    """The digits of a number, without what people put between them."""
    return bytes(b for b in text if 48 <= b <= 57).decode()


def shortened(text: bytes, is_good: Callable[[bytes], bool], separators: bytes = b" -.,/(") -> int:
    """Length of the longest beginning that is good, cut where words end.

    A pattern with blanks in it may take in the number that follows.
    """
    end = len(text)
    while end > 4:
        if is_good(text[:end]):
            return end
        end = max(text.rfind(separator, 0, end) for separator in map(_byte, separators))
        while end > 0 and text[end - 1] in separators:
            end -= 1
    return 0


def _byte(number: int) -> bytes:
    return bytes((number,))
