"""One ``redaction`` of the configuration, made ready to be used."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Final, Literal

from ahocorasick_rs import MATCHKIND_LEFTMOST_LONGEST, BytesAhoCorasick, Implementation

from proxy.core.ports import Recogniser
from proxy.redact import encoded, identifiers, national, people, secrets
from proxy.redact.detector import Detector, Finding
from proxy.redact.engine import Engine, TooMany
from proxy.redact.patterns import MAX_PROGRAM, Program, UnusablePattern
from proxy.redact.scan import Source, Sources, scan

Action = Literal["pseudonymise", "mask", "remove", "hash", "block", "flag"]

ALL: Final[tuple[Detector, ...]] = (
    *identifiers.DETECTORS, *people.DETECTORS, *national.DETECTORS, *secrets.DETECTORS,
)  # fmt: skip

MAX_MATCHES: Final = 5000
"""Matches of one pattern of somebody's own in one text."""

SMALL: Final = 1000
"""Terms up to which the faster and larger of two automata is made."""

WINDOW: Final = 512
"""Bytes that a pattern of somebody's own is searched in first.  A pattern like ``a.*z|a``
would otherwise read on to the end of the text for each of its matches."""

_ANCHOR: Final = re.compile(r"""[\^$"]|\\[AzBCQ]""")


class OwnPattern:
    """A pattern out of the configuration, as a source of findings."""

    def __init__(self, name: str, pattern: str) -> None:
        self._name = name
        program = Program(pattern)
        self._find = program.find
        self._reads_within = _ANCHOR.search(pattern) is None
        self._seen: tuple[bytes, int] = (b"", 0)
        if (size := program.size) > MAX_PROGRAM:
            raise UnusablePattern(
                f"the pattern is too large ({size} instructions, at most {MAX_PROGRAM})"
            )
        if program.find(b"", 0, 0) == (0, 0):
            raise UnusablePattern(
                "the pattern matches nothing at all, so it would match everywhere"
            )

    @property
    def as_written(self) -> Source:
        """It may be about the very signs that reading levels."""
        return self

    def first(self, text: bytes, start: int, limit: int) -> Finding | None:
        """The leftmost match that is not empty."""
        if self._seen[0] is not text:
            self._seen = (text, 0)
        count = self._seen[1] + 1
        if count > MAX_MATCHES:
            raise TooMany
        self._seen = (text, count)
        size, end = WINDOW, len(text)
        while start < end:
            stop_at = min(start + size, end)
            at, stop = self._find(text, start, stop_at)
            if stop_at < end and (at < 0 or stop == stop_at):
                size *= 2
                continue
            if at < 0 or at >= limit:
                return None
            if stop > at:
                return Finding(at, stop, self._name, "pattern", at)
            start = max(at, start) + 1
        return None

    def open_at(self, text: bytes, start: int) -> int:
        """Only whole texts are searched for these."""
        return start

    @property
    def reads_within(self) -> bool:
        """Not where it may ask for the beginning or the end of a text, or a quote."""
        return self._reads_within

    def may_find(self, text: bytes) -> bool:
        """Whether it matches."""
        return self._find(text, 0, len(text))[0] >= 0


class OwnTerms:
    """Words out of the configuration, found in any case and as whole words."""

    def __init__(self, name: str, terms: Iterable[str]) -> None:
        self._name = name
        written = {form.encode() for term in terms for form in (term, term.lower(), term.upper())}
        found = sorted({form.lower() for form in written if form.strip()})
        if not found:
            raise UnusablePattern("the terms are empty")
        self._automaton = BytesAhoCorasick(
            found,
            matchkind=MATCHKIND_LEFTMOST_LONGEST,
            implementation=Implementation.DFA if len(found) < SMALL else None,
        )
        self._seen: tuple[bytes, list[tuple[int, int]]] = (b"", [])

    @property
    def as_written(self) -> Source:
        """It may be about the very signs that reading levels."""
        return self

    def first(self, text: bytes, start: int, limit: int) -> Finding | None:
        """The leftmost term."""
        if self._seen[0] is not text:
            matches = self._automaton.find_matches_as_indexes(text.lower())
            spans = [(a, b) for _, a, b in matches if _is_word(text, a, b)]
            self._seen = (text, spans)
        for at, stop in self._seen[1]:
            if at >= limit:
                return None
            if at >= start:
                return Finding(at, stop, self._name, "term", at)
        return None

    def open_at(self, text: bytes, start: int) -> int:
        """Only whole texts are searched for these."""
        return start

    reads_within = True

    def may_find(self, text: bytes) -> bool:
        """Whether one of the terms stands there, as a word or in one."""
        return bool(self._automaton.find_matches_as_indexes(text.lower()))


def _is_word(text: bytes, start: int, end: int) -> bool:
    def joins(one: bytes, other: bytes) -> bool:
        return one.isalnum() and other.isalnum()

    return not joins(text[start - 1 : start], text[start : start + 1]) and not joins(
        text[end - 1 : end], text[end : end + 1]
    )


@cache
def engine_for(kinds: frozenset[str]) -> Engine:
    """The engine of some kinds; it looks two codes deep."""
    chosen = tuple(d for d in ALL if d.kind in kinds)
    with_codes = (*chosen, *encoded.DETECTORS) if chosen else ()
    flat = Engine(chosen)
    return Engine(with_codes, Engine(with_codes, flat))


@dataclass(frozen=True, slots=True)
class Own:
    """A rule out of the configuration: a pattern or terms."""

    name: str
    pattern: str = ""
    terms: tuple[str, ...] = ()
    match: tuple[str, ...] = ()
    no_match: tuple[str, ...] = ()

    def source(self) -> Source:
        """The rule at work.  Raises ``UnusablePattern``."""
        if self.pattern:
            return OwnPattern(self.name, self.pattern)
        return OwnTerms(self.name, self.terms)

    def failures(self, source: Source) -> Iterable[tuple[str, int]]:
        """Which of its tests fail: the list and the number in it."""
        for name, texts, is_wanted in (
            ("match", self.match, True),
            ("no_match", self.no_match, False),
        ):
            for i, text in enumerate(texts):
                found, _ = scan(source, text, 0, is_final=True)
                if bool(found) is not is_wanted:
                    yield name, i


@dataclass(frozen=True, slots=True)
class Ruleset:
    """What to look for in requests and answers, and what to do with it.

    ``source`` is for requests; ``answers`` for answers, ``None`` where they are
    not looked at.  ``recogniser`` is asked about requests too.  ``key`` is that of its pseudonyms, if it has one of its own.
    """

    name: str
    source: Source
    action: Action = "pseudonymise"
    actions: Mapping[str, Action] = field(default_factory=dict)
    restore: bool = True
    recogniser: Recogniser | None = None
    answers: Source | None = None
    answer_action: Action = "mask"
    is_closed: bool = True
    allows_unreadable: bool = False
    key: bytes = field(default=b"", repr=False)

    def action_for(self, kind: str) -> Action:
        """What is done with one kind in requests."""
        return self.actions.get(kind, self.action)


def source_of(kinds: Iterable[str], own: Iterable[Source] = ()) -> Source:
    """Everything that requests are searched with."""
    engine = engine_for(frozenset(kinds))
    more = tuple(own)
    return Sources((*more, engine)) if more else engine


_ALNUM: Final = re.compile(r"\w")


def masked(text: str) -> str:
    """The same shape without a letter or digit of it."""
    return _ALNUM.sub("*", text)
