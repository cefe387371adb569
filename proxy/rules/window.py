"""Searching a text while it grows, with the verdict of the text as a whole.

The text is searched in overlapping windows at fixed places: each ends a
``STEP`` further on and reaches ``REACH`` characters back.  So the verdict
depends on the text alone and never on how it was torn, and costs the same for
each character of a long answer.  Between two such places the end of the text is
searched as it stands; what is found there is a suspicion, until the next
window confirms it or drops it.
"""

from __future__ import annotations

from typing import Final

from proxy.rules.patterns import REACH, Finder

STEP: Final = 512
"""Characters between the ends of two windows."""

TAIL: Final = 160
"""Characters before a new piece that are searched together with it."""


class Window:
    """One text of an answer, as far as it is known.

    Without ``suspects`` only what is certain is looked for.
    """

    __slots__ = ("_end", "_finder", "_is_first", "_is_suspicious", "_suspects", "_text")

    def __init__(self, finder: Finder, *, suspects: bool = True) -> None:
        self._finder = finder
        self._suspects = suspects
        self._text = ""  # from the beginning of the current window
        self._end = STEP  # of the current window, in ``_text``
        self._is_first = True
        self._is_suspicious = False

    @property
    def is_suspicious(self) -> bool:
        """Whether something was found that the next characters may refute."""
        return self._is_suspicious

    def feed(self, piece: str) -> str:
        """Add a piece; the category of what is found for certain, or nothing."""
        text, base = self._text + piece, 0
        # One character beyond the window says whether a word ends with it.
        while len(text) - base > self._end:
            found = self._finder.find_inside(
                text[base : base + self._end + 1], is_first=self._is_first, is_last=False
            )
            if found:
                return found
            self._is_suspicious = False
            passed = max(0, self._end - REACH)
            base += passed
            self._end += STEP - passed
            self._is_first = self._is_first and not passed
        self._text = text[base:]
        if self._suspects and not self._is_suspicious:
            tail = self._text[max(0, len(self._text) - len(piece) - TAIL) :]
            self._is_suspicious = bool(self._finder.find(tail))
        return ""

    def finish(self) -> str:
        """The text is over: the category of what is found in it, or nothing."""
        self._is_suspicious = False
        return self._finder.find_inside(self._text, is_first=self._is_first, is_last=True)
