"""What is known of English words: which say nothing, which say the same, which ask.

The words stand in ``lexicon.yaml``; composition reads it and gives the bytes.
Every section is a text of lines; a line of ``groups`` is words that say the
same, named after the first.  A word that is in no section is a content word of
its own, known by its base form.  Of what was looked up, only words that the
lexicon has itself are remembered.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import product
from typing import Any, Final, NamedTuple

import yaml

from proxy.semantic.spelling import Forms

DROP, CONTENT, ROLE, NOT, ASK, BE, MODAL, PERSON = range(8)
NUMBER, AND, STOP, SYMBOL, SEVERAL, FOREIGN, MARK = range(8, 15)
"""Kinds of words: says nothing; matters; preposition; negation; question word;
auxiliary with a tense; modal; pronoun; number; conjunction; end of a clause;
symbol; stands for several words; of another language; exact (code, addresses)."""

MAX_SPELLING: Final = 40
"""Characters of a unit."""

_MEASURE: Final = re.compile(r"([-+]?\.?\d[\d.,:/]*)([^\W\d_]+)")
_THOUSANDS: Final = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_ORDINAL: Final = frozenset({"st", "nd", "rd", "th"})
_WORDS: Final = (
    "unchanged", "verbs", "common", "weighty", "predicates", "light", "tasks", "metas", "aliases",
)  # fmt: skip
"""Sections that are words and nothing else."""

Trie = dict[str, Any]
"""Word to what may follow; ``""`` holds what a whole phrase stands for."""


class Lexeme(NamedTuple):
    """What one spelling is.

    ``value`` depends on the kind: the concept, the role, what is asked for.
    ``tally`` adds one to the known words, in units of 2^20 to the foreign ones,
    and in units of 2^40 to the unknown ones.
    ``phrases`` begin with this word; ``parts`` are what ``SEVERAL`` stands for.
    """

    kind: int
    value: str
    word: str
    phrases: Trie | None = None
    parts: tuple[Lexeme, ...] = ()
    tally: int = 0


class Lexicon(dict[str, Lexeme]):
    """Spelling to lexeme; words of the lexicon stay as they are met, others do not."""

    def __init__(self, text: bytes) -> None:
        super().__init__()
        sections: dict[str, str] = yaml.safe_load(text)
        self.concepts: dict[str, str] = {}
        self.label: dict[str, str] = {}
        self._read_groups(sections)
        self._several = {w: tuple(rest) for w, *rest in _lines(sections["several"])}
        self._upper = {w: concept for w, concept in _lines(sections["upper"])}  # noqa: C416 - lists, not pairs
        self._kinds: dict[str, tuple[int, str]] = dict(_read_kinds(sections))
        words = {name: frozenset(sections[name].split()) for name in _WORDS}
        self._forms = Forms(
            irregular={w: line[0] for line in _lines(sections["forms"]) for w in line[1:]},
            unchanged=words["unchanged"] | self.concepts.keys(),
            verbs=words["verbs"],
            others=words["common"] | self._kinds.keys(),
        )
        self.known = self._forms.known
        self.pasts = frozenset(
            w
            for line in _lines(sections["forms"])
            for w in line[1:]
            if not w.endswith(("s", "ing"))
        )
        self.weighty, self.metas, self.aliases = (
            words[name] for name in ("weighty", "metas", "aliases")
        )
        self.verbs, self.predicates, self.light, self.tasks = (
            frozenset(map(self._concept, words[name]))
            for name in ("verbs", "predicates", "light", "tasks")
        )
        self.opposites = frozenset(self._read_opposites(sections["opposites"]))
        self.opposed = frozenset().union(*self.opposites) - self.verbs
        self._own = self.known.union(*self.opposites, *words.values())
        self._starts: Trie = {}
        for line in sections["phrases"].splitlines():
            self._add_phrases(line)
        self.clear()  # lexemes made for phrases do not know yet what begins with them

    def __missing__(self, spelling: str) -> Lexeme:
        lexeme = self._lexeme(spelling)
        is_own = spelling in (lexeme.word, lexeme.word.capitalize())
        if is_own and not self._own.isdisjoint(lexeme[1:3]):
            self[spelling] = lexeme
        return lexeme

    def lexeme(self, spelling: str) -> Lexeme:
        """As ``[]`` gives it, but not remembered."""
        return self.get(spelling) or self._lexeme(spelling)

    def _lexeme(self, spelling: str) -> Lexeme:
        lexeme = self._made(spelling)
        return lexeme._replace(tally=self._tally(lexeme))

    def _tally(self, lexeme: Lexeme) -> int:
        if lexeme.kind == FOREIGN:
            return 1 << 20
        if lexeme.kind == CONTENT and lexeme.word not in self.known:
            return 1 if lexeme.value in self.known else 1 << 40
        return int(lexeme.kind not in (STOP, NUMBER, SYMBOL, MARK) and lexeme.word[0].isalpha())

    def _read_groups(self, sections: dict[str, str]) -> None:
        """Sections called ``groups``, ``groups of time``...: what differs there is ``time``."""
        for name, section in sections.items():
            if not name.startswith("groups"):
                continue
            label = name.removeprefix("groups").removeprefix(" of ")
            for line in _lines(section):
                for word in line:
                    self.concepts.setdefault(word, line[0])
                if label:
                    self.label[line[0]] = label

    def _read_opposites(self, section: str) -> Iterator[frozenset[str]]:
        for line in section.splitlines():
            sides = [[self._concept(w) for w in side.split()] for side in line.split("|")]
            for one, other in product(*sides) if line.strip() else ():
                if one != other:
                    yield frozenset({one, other})

    def _add_phrases(self, line: str) -> None:
        """``can|could you ?please tell me = `` and every way to say it."""
        says, equals, means = line.partition("=")
        if not equals:
            return
        parts = tuple(self._lexeme(w) for w in means.split())
        ways = [
            [*part.strip("?").split("|"), *([""] if part[0] == "?" else ())]
            for part in says.split()
        ]
        for way in product(*ways):
            node = self._starts
            for word in way:
                if word:
                    node = node.setdefault(word, {})
            node[""] = parts

    def _made(self, spelling: str) -> Lexeme:
        upper = self._upper.get(spelling)
        if upper is not None:
            return Lexeme(CONTENT, upper, spelling)
        word = spelling.casefold()
        phrases = self._starts.get(word)
        if word in self._several:
            return self._joined(word, self._several[word])
        if word in self._kinds:
            return Lexeme(*self._kinds[word], word, phrases)
        if "@" in word or "://" in word:
            return Lexeme(MARK, word, word)
        if word[0].isalpha():
            return self._word(spelling, word, phrases)
        if word.lstrip("+-.")[:1].isdigit():
            return self._number(word)
        return self._other(spelling, word)

    def _other(self, spelling: str, word: str) -> Lexeme:
        if word[0] in "`\"'" or "/" in word or "@" in word:
            return Lexeme(MARK, spelling if word[0] in "`/" else word.strip("\"'"), word)
        if word.strip() == "-" != word:
            return Lexeme(SYMBOL, "-", "-")
        if word[0] == "_" or len(word) > 1:
            return Lexeme(MARK, spelling, word)
        if word in self.concepts:
            return Lexeme(CONTENT, self.concepts[word], word)
        category = unicodedata.category(word)
        if category[0] in "PZC" and word not in "%*#@\\{}[]&":
            return Lexeme(DROP, "", word)
        return Lexeme(SYMBOL, word, word)

    def _word(self, spelling: str, word: str, phrases: Trie | None) -> Lexeme:
        if "'" in word:
            return self._contracted(word)
        if "." in word:
            joined = word.replace(".", "")
            if joined in self._kinds or joined in self.concepts:
                return self._lexeme(joined)
            word = joined if joined.isalpha() else word
        if "_" in word:
            return Lexeme(MARK, spelling, word)
        if not word.isalpha():
            return Lexeme(CONTENT, self.concepts.get(word, word), word)
        if spelling[2:].islower() or spelling[0].isupper():
            if word not in self.known and spelling.islower():
                word = self._forms.spelt(word)
                if word in self._kinds:
                    return Lexeme(*self._kinds[word], word, self._starts.get(word))
            return Lexeme(CONTENT, self._concept(word), word, phrases)
        return Lexeme(CONTENT, self.concepts.get(word, word), word, phrases)

    def _contracted(self, word: str) -> Lexeme:
        whole = word.replace("'", "")
        if whole in self._several:
            return self._joined(word, self._several[whole])
        front, _, end = word.partition("'")
        first = self._lexeme(front)
        if end == "s" and first.kind == CONTENT:
            return Lexeme(SEVERAL, "", word, None, (Lexeme(ROLE, "'s", "'s"), first))
        if end in ("s", "re", "m", "ve", "d", "ll"):
            rest = {"s": "is", "re": "are", "m": "am", "ve": "have", "d": "would", "ll": "will"}[
                end
            ]
            return self._joined(word, (front, rest))
        return Lexeme(CONTENT, whole, word)

    def _joined(self, word: str, parts: tuple[str, ...]) -> Lexeme:
        return Lexeme(SEVERAL, "", word, None, tuple(self._lexeme(p) for p in parts))

    def _number(self, word: str) -> Lexeme:
        if _THOUSANDS.fullmatch(word):
            word = word.replace(",", "")
        measured = _MEASURE.fullmatch(word)
        if measured is None:
            kind = NUMBER if not word[-1].isalpha() and "_" not in word else MARK
            return Lexeme(kind, word.removeprefix("+"), word)
        number, unit = measured[1], measured[2]
        if unit in _ORDINAL:
            return Lexeme(NUMBER, f"{number}.", word)
        if unit in self.concepts and len(unit) <= MAX_SPELLING:
            return self._joined(word, (number, unit))
        return Lexeme(MARK, word, word)

    def _concept(self, word: str) -> str:
        base = self._forms.base(word)
        return self.concepts.get(base, base)


def _read_kinds(sections: dict[str, str]) -> Iterator[tuple[str, tuple[int, str]]]:
    for word in sections["drop"].split():
        yield word, (DROP, "")
    for word in sections["polite"].split():
        yield word, (DROP, "polite")
    for word in sections["foreign"].split():
        yield word, (FOREIGN, word)
    kinds = {
        "roles": ROLE, "not": NOT, "asks": ASK, "be": BE, "modals": MODAL,
        "persons": PERSON, "numbers": NUMBER, "and": AND, "marks": STOP,
    }  # fmt: skip
    for name, kind in kinds.items():
        for value, *words in _lines(sections[name]):
            for word in words:
                yield word, (kind, value)


def _lines(section: str) -> Iterator[list[str]]:
    for line in section.splitlines():
        if words := line.split():
            yield words
