"""Names with ``*`` and ``?`` in them, compiled once and matched often."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_WILD: Final = frozenset("*?")


def is_literal(pattern: str) -> bool:
    """Whether a pattern is a plain name."""
    return _WILD.isdisjoint(pattern)


class GlobSet:
    """A set of patterns; ``matches`` is true if any of them fits the whole name.

    Case counts.  Runs of stars are one star, so that a pattern cannot make
    the matcher go back and forth.
    """

    __slots__ = ("_literals", "_matches_all", "_regex", "patterns")

    def __init__(self, patterns: Iterable[str]) -> None:
        self.patterns = tuple(patterns)
        self._literals = frozenset(p for p in self.patterns if is_literal(p))
        self._matches_all = "*" in self.patterns
        wild = [_regex(p) for p in self.patterns if not is_literal(p)]
        self._regex = re.compile("|".join(wild), re.DOTALL) if wild else None

    def matches(self, name: str) -> bool:
        """Whether some pattern fits."""
        return (
            self._matches_all
            or name in self._literals
            or (self._regex is not None and self._regex.fullmatch(name) is not None)
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GlobSet) and self.patterns == other.patterns

    def __hash__(self) -> int:
        return hash(self.patterns)


def _regex(pattern: str) -> str:
    # Atomic groups: the text between two stars is taken where it first stands,
    # which is right for globs and linear.
    parts = re.sub(r"\*+", "*", pattern).split("*")
    texts = ["".join("." if c == "?" else re.escape(c) for c in part) for part in parts]
    first, *rest = texts
    if not rest:
        return first
    middle = "".join(f"(?>.*?{text})" for text in rest[:-1])
    return f"{first}{middle}.*{rest[-1]}"
