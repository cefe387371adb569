"""Patterns in linear time: what they are made of, and what they find.

RE2 never backtracks, so no pattern and no text can hang the process.  All
patterns of a guard are one alternation, which costs the same for one pattern
and for a hundred; only when that finds something is it asked which it was.
(RE2's own sets of patterns would say so at once, but find nothing at all when
they run out of memory, where a search merely becomes slower.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import re2
import yaml

from proxy.rules.views import views

MAX_MEMORY: Final = 32 << 20
"""Bytes for the automaton of one guard's patterns."""

REACH: Final = 512
"""Characters over which a pattern may stretch in an answer."""

AGAIN: Final = 64
"""Bytes: a shorter match at the end of a window is wholly in the next one, in
whatever way its characters are written."""


SLICE: Final = 64 * 1024
"""Characters of a request that are searched at once: a few milliseconds."""

OVERLAP: Final = 4096
"""Characters that two slices have in common; patterns reach that far."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """One thing to look for, and what a find is called.

    ``match`` and ``no_match`` are examples that it is tried on.
    """

    category: str
    source: str
    match: tuple[str, ...] = ()
    no_match: tuple[str, ...] = ()


class BadPattern(Exception):
    """A pattern that RE2 cannot take; the message says why."""


def options() -> Any:
    """How all patterns are read: any case, ``.`` is any character."""
    made = re2.Options()
    made.case_sensitive = False
    made.dot_nl = True
    made.never_capture = True
    made.log_errors = False
    made.max_mem = MAX_MEMORY
    return made


def compiled(source: str) -> Any:
    """One pattern, ready to search bytes.  Raises ``BadPattern``."""
    try:
        return re2.compile(source, options=options())
    except re2.error as exc:
        reason = exc.args[0] if exc.args else "it is not a pattern"
        said = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise BadPattern(said) from exc


def load_pack(text: str) -> tuple[Pattern, ...]:
    """A shipped pack: a list of categories, each with patterns and examples."""
    made = []
    for entry in yaml.safe_load(text):
        sources = entry["patterns"]
        parts = entry.get("parts", {})
        for name, part in parts.items():
            sources = [source.replace(f"<{name}>", f"(?:{part})") for source in sources]
        made.append(
            Pattern(
                entry["category"],
                "|".join(f"(?:{source})" for source in sources),
                tuple(entry.get("match", ())),
                tuple(entry.get("no_match", ())),
            )
        )
    return tuple(made)


def slices(text: str) -> Iterator[tuple[str, bool, bool]]:
    """A text in overlapping slices, and whether each is the first or the last."""
    at = 0
    while True:
        is_last = len(text) - at <= SLICE
        yield text[at : at + SLICE], at == 0, is_last
        if is_last:
            return
        at += SLICE - OVERLAP


class Finder:
    """Says which of its patterns a text holds, in any of the text's views."""

    __slots__ = ("_any", "_each")

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._any = compiled("|".join(f"(?:{p.source})" for p in patterns))
        self._each = tuple((p.category, compiled(p.source)) for p in patterns)
        # RE2 finishes its programs when they first find something, which takes
        # tens of milliseconds and is better done now.
        for pattern in patterns:
            for example in pattern.match[:1]:
                self.find(example)

    def find(self, text: str) -> str:
        """The category of what is found; empty if that is nothing."""
        for view in views(text):
            # Half a surrogate pair can come from an escape, and is no letter.
            data = view.encode("utf-8", "replace")
            if self._any.search(data) is not None:
                return next((c for c, p in self._each if p.search(data) is not None), "")
        return ""

    def find_inside(self, text: str, *, is_first: bool, is_last: bool) -> str:
        """The same in a part of a text, where a match must not owe its place
        to the part's edges: what touches them may look otherwise in the whole.
        """
        for view in views(text):
            data = view.encode("utf-8", "replace")
            if self._any.search(data) is None:
                continue
            for category, pattern in self._each:
                for match in pattern.finditer(data):
                    is_cut = match.start() == 0 and not is_first
                    is_cut |= (
                        match.end() == len(data)
                        and not is_last
                        and len(data) - match.start() < AGAIN
                    )
                    if not is_cut:
                        return category
        return ""
