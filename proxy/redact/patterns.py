"""RE2 patterns, and the patterns of everything that could become a match.

The prefix closure of a pattern matches every beginning of every text that the
pattern matches.  A place from which it reaches the end of what has come of a
stream so far is one from which a match may still grow, and the leftmost such
place is where holding back begins.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Final

import re2

MAX_PROGRAM: Final = 1500
"""Instructions of a pattern of somebody's own; RE2's slowest engine takes time
in proportion to them."""

ANCHORED: Final = re2._re2.RE2.Anchor.ANCHOR_START  # noqa: SLF001 - see Program
UNANCHORED: Final = re2._re2.RE2.Anchor.UNANCHORED  # noqa: SLF001

MAX_COUNTED: Final = 4
"""Repetitions that a closure counts; more are any number."""

_ATOM: Final = re.compile(
    r"\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\]|\\[pP]\{\^?\w+\}|\\[pP]\w|\\x\{[0-9a-fA-F]+\}"
    r"|\\x[0-9a-fA-F]{2}|\\Q.*?\\E|\\.|[^\\]",
    re.DOTALL,
)
_TIMES: Final = re.compile(r"(\*|\+|\?|\{(\d+)(?:(,)(\d*))?\})\??")
_GROUP: Final = re.compile(r"\((?:\?(?:P?<\w+>|([imsU-]*)(:|\))))?")
_ZERO: Final = frozenset({"^", "$", "\\b", "\\B", "\\A", "\\z"})


class UnusablePattern(ValueError):
    """RE2 cannot take the pattern, or not without danger."""


class Program:
    """A compiled pattern over UTF-8 bytes.

    Calls RE2 without the wrapper's match objects, which cost as much again as
    the search itself.
    """

    __slots__ = ("_match", "size", "source")

    def __init__(self, source: str, *, max_mem: int = 8 << 20, is_longest: bool = False) -> None:
        options = re2.Options()
        options.longest_match = is_longest
        options.max_mem = max_mem
        options.log_errors = False
        try:
            compiled = re2.compile(source.encode(), options)
        except re2.error as exc:
            why = exc.args[0] if exc.args else ""
            text = why.decode("utf-8", "replace") if isinstance(why, bytes) else str(why)
            raise UnusablePattern(f"RE2 cannot take this pattern: {text}") from exc
        self.source = source
        self.size: int = compiled.programsize
        self._match = compiled._regexp.Match  # noqa: SLF001

    def find(self, text: bytes, start: int, end: int) -> tuple[int, int]:
        """Span of the leftmost match in ``text[start:end]``; -1, -1 without one."""
        found: tuple[int, int] = self._match(UNANCHORED, text, start, end)[0]
        return found

    def end_at(self, text: bytes, start: int, end: int) -> int:
        """Where the match that begins at ``start`` ends, at ``end`` at the
        latest; -1 without one.
        """
        found: int = self._match(ANCHORED, text, start, end)[0][1]
        return found

    def group_at(self, text: bytes, start: int, end: int) -> tuple[int, int]:
        """Span of the first group of the match that begins at ``start``."""
        spans = self._match(ANCHORED, text, start, end)
        found: tuple[int, int] = spans[1]
        return found


@cache
def program(source: str, max_mem: int = 8 << 20, *, is_longest: bool = False) -> Program:
    """The program of a pattern of ours, made once for all engines."""
    return Program(source, max_mem=max_mem, is_longest=is_longest)


@dataclass(frozen=True, slots=True)
class _Node:
    """A part of a pattern: ``whole`` matches it, ``begun`` its beginnings, and
    ``short`` as little of what follows as makes it a match.

    Where it is loose, what follows may follow any beginning: that finds too
    much, which costs a moment's waiting, and keeps the program small.
    """

    whole: str
    begun: str
    short: str
    is_loose: bool = False


def closure(pattern: str) -> str:
    """The pattern of all beginnings of what ``pattern`` matches."""
    return _parsed(pattern).begun


def shortest(pattern: str) -> str:
    """The same with every repetition content with as little as it may.

    It begins wherever ``pattern`` does, and is done with much sooner.
    """
    return _parsed(pattern).short


def _parsed(pattern: str) -> _Node:
    node, at = _alternation(pattern, 0)
    if at != len(pattern):
        raise UnusablePattern(f"unmatched ) at {at}")
    return node


def _alternation(source: str, at: int) -> tuple[_Node, int]:
    branches: list[_Node] = []
    items: list[_Node] = []
    while at < len(source) and source[at] != ")":
        if source[at] == "|":
            branches.append(_sequence(items))
            items = []
            at += 1
            continue
        item, at = _item(source, at)
        items.append(item)
    branches.append(_sequence(items))
    if len(branches) == 1:
        return branches[0], at
    whole = "|".join(b.whole for b in branches)
    begun = "|".join(b.begun for b in branches)
    short = "|".join(b.short for b in branches)
    return _Node(f"(?:{whole})", f"(?:{begun})", f"(?:{short})"), at


def _sequence(items: list[_Node]) -> _Node:
    begun = ""
    for item in reversed(items):
        rest = f"(?:{begun})?" if begun else ""
        if not rest:
            begun = item.begun  # which includes the whole
        elif item.is_loose or item.begun == item.whole:
            begun = item.begun + rest
        elif item.begun:
            begun = f"(?:{item.begun}|{item.whole}{rest})"
        else:
            begun = item.whole + rest
    return _Node("".join(i.whole for i in items), begun, "".join(i.short for i in items))


def _item(source: str, at: int) -> tuple[_Node, int]:
    if source[at] == "(":
        node, at = _group(source, at)
    else:
        atom = _ATOM.match(source, at)
        if atom is None:
            raise UnusablePattern(f"unfinished pattern at {at}")
        text = atom[0]
        at = atom.end()
        if text in _ZERO:
            return _Node(text, "", text), at
        node = _Node(text, text, text)
    times = _TIMES.match(source, at)
    if times is None:
        return node, at
    return _repeated(node, times), times.end()


def _group(source: str, at: int) -> tuple[_Node, int]:
    head = _GROUP.match(source, at)
    assert head is not None
    flags, closes = head[1] or "", head[2]
    if closes == ")":
        # Flags for all that follows up to the end of the enclosing group.
        node, end = _alternation(source, head.end())
        return _flagged(node, flags), end
    node, end = _alternation(source, head.end())
    if end >= len(source):
        raise UnusablePattern(f"missing ) for ( at {at}")
    return _flagged(node, flags), end + 1


def _flagged(node: _Node, flags: str) -> _Node:
    begun = f"(?{flags}:{node.begun})" if node.begun else ""
    return _Node(f"(?{flags}:{node.whole})", begun, f"(?{flags}:{node.short})")


def _repeated(node: _Node, times: re.Match[str]) -> _Node:
    count = times[1]
    whole = node.whole + times[0]
    short = node.short + count + "?"
    if count in "*+":
        most = ""
    elif count == "?":
        most = "1"
    else:
        most = times[4] if times[3] else times[2]
    if node.begun == node.whole:
        # One character, or a class of them.
        is_optional = count in "*?" or times[2] == "0"
        if not most or int(most) > MAX_COUNTED:
            return _Node(whole, node.whole + ("*" if is_optional else "+"), short, is_loose=True)
        least = "0" if is_optional else "1"
        return _Node(whole, f"{node.whole}{{{least},{most}}}", short, is_loose=True)
    before = f"{{0,{int(most) - 1}}}" if most else "*"
    if most == "1":
        return _Node(whole, node.begun, short)
    return _Node(whole, f"(?:{node.whole}{before}{node.begun})", short)
