"""What is known of English words: which say nothing, which say the same, which ask.

The words stand in ``lexicon.yaml``; composition reads it and gives the bytes.
Every section is a text of lines; a line of ``groups`` is words that say the
same, named after the first.  A word that is in no section is a content word of
its own, known by its base form; what was once looked up is remembered.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import product
from typing import Any, Final, NamedTuple

import yaml

DROP, CONTENT, ROLE, NOT, ASK, BE, MODAL, PERSON, NUMBER, AND, STOP, SYMBOL, SEVERAL, FOREIGN, MARK = (
    range(15)
)  # fmt: skip
"""Kinds of words: says nothing; matters; preposition; negation; question word;
auxiliary with a tense; modal; pronoun; number; conjunction; end of a clause;
symbol; stands for several words; of another language; exact (code, addresses)."""

MAX_KNOWN: Final = 20_000
"""Spellings whose entry is remembered."""

MAX_LENGTH: Final = 40
"""Characters of a spelling that is remembered."""

_MEASURE: Final = re.compile(r"([-+]?\d[\d.,:/]*)([^\W\d_]+)")
_THOUSANDS: Final = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_ORDINAL: Final = frozenset({"st", "nd", "rd", "th"})
_LONG_ENOUGH: Final = 3
_LEAST_TYPO: Final = 5
"""Letters of a word that is taken for another misspelt."""

_NOUNS: Final = (("ification", "ify"), ("ation", "ate"), ("ation", "e"), ("ation", ""), ("ion", "e"),
                 ("ion", ""), ("ment", ""), ("al", ""), ("al", "e"), ("ance", ""))  # fmt: skip
"""Endings of nouns made of verbs, and those of the verbs."""


Trie = dict[str, Any]
"""Word to what may follow; ``""`` holds what a whole phrase stands for."""


class Entry(NamedTuple):
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
    parts: tuple[Entry, ...] = ()
    tally: int = 0


class Lexicon(dict[str, Entry]):
    """Spelling to entry; filled as they are met."""

    def __init__(self, text: bytes) -> None:
        super().__init__()
        sections: dict[str, str] = yaml.safe_load(text)
        self.concepts: dict[str, str] = {}
        self.label: dict[str, str] = {}
        self._bases = {w: line[0] for line in _lines(sections["forms"]) for w in line[1:]}
        self._kept = frozenset(sections["unchanged"].split())
        self._acts = frozenset(sections["verbs"].split())
        self._read_groups(sections)
        self.verbs = frozenset(self._concept(w) for w in sections["verbs"].split())
        self.predicates = frozenset(self._concept(w) for w in sections["predicates"].split())
        self.light = frozenset(self._concept(w) for w in sections["light"].split())
        self.weighty = frozenset(sections["weighty"].split())
        self.tasks = frozenset(self._concept(w) for w in sections["tasks"].split())
        self.opposites = frozenset(self._read_opposites(sections["opposites"]))
        self._kinds: dict[str, tuple[int, str]] = dict(self._read_kinds(sections))
        self._several = {w: tuple(rest) for w, *rest in _lines(sections["several"])}
        self._upper = {w: concept for w, concept in _lines(sections["upper"])}
        self.known = frozenset(
            {*self.concepts, *self.concepts.values(), *self._kinds, *sections["common"].split(),
             *self._kept, *self._bases.values(), *self.verbs}
        )  # fmt: skip
        self._starts: Trie = {}
        for line in sections["phrases"].splitlines():
            self._add_phrases(line)
        self.clear()  # entries made for phrases do not know yet what begins with them

    def __missing__(self, spelling: str) -> Entry:
        entry = self._entry(spelling)
        entry = entry._replace(tally=self._tally(entry))
        if len(self) < MAX_KNOWN and len(spelling) <= MAX_LENGTH:
            self[spelling] = entry
        return entry

    def _tally(self, entry: Entry) -> int:
        if entry.kind == FOREIGN:
            return 1 << 20
        if entry.kind == CONTENT and entry.word not in self.known:
            return 1 if entry.value in self.known else 1 << 40
        return int(entry.kind not in (STOP, NUMBER, SYMBOL, MARK) and entry.word[0].isalpha())

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

    def _read_kinds(self, sections: dict[str, str]) -> Iterator[tuple[str, tuple[int, str]]]:
        for word in sections["drop"].split():
            yield word, (DROP, "")
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

    def _add_phrases(self, line: str) -> None:
        """``can|could you ?please tell me = `` and every way to say it."""
        says, equals, means = line.partition("=")
        if not equals:
            return
        parts = tuple(self._entry(w) for w in means.split())
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

    def _entry(self, spelling: str) -> Entry:
        upper = self._upper.get(spelling)
        if upper is not None:
            return Entry(CONTENT, upper, spelling)
        word = spelling.casefold()
        phrases = self._starts.get(word) if hasattr(self, "_starts") else None
        if word in self._several:
            return self._joined(word, self._several[word])
        if word in self._kinds:
            return Entry(*self._kinds[word], word, phrases)
        if word[0].isalpha():
            return self._word(spelling, word, phrases)
        if word[0].isdigit() or (len(word) > 1 and word[0] in "+-" and word[1].isdigit()):
            return self._number(word)
        if word[0] in "`\"'" or "/" in word or "@" in word:
            return Entry(MARK, spelling if word[0] in "`/" else word.strip("\"'"), word)
        if word[0] == "_" or len(word) > 1:
            return Entry(MARK, spelling, word)
        if word in self.concepts:
            return Entry(CONTENT, self.concepts[word], word)
        category = unicodedata.category(word)
        if category[0] in "PZC" and word not in "%*#@\\{}[]&":
            return Entry(DROP, "", word)
        return Entry(SYMBOL, word, word)

    def _word(self, spelling: str, word: str, phrases: Trie | None) -> Entry:
        if "'" in word:
            return self._contracted(word)
        if "@" in word or "://" in word:
            return Entry(MARK, word, word)
        if "." in word:
            word = word.replace(".", "")
            if word in self._kinds or word in self.concepts:
                return self._entry(word)
        if "_" in word or not word.isalpha():
            kept = word in self.concepts or "_" not in word
            return Entry(CONTENT if kept else MARK, self.concepts.get(word, spelling), word)
        if spelling[2:].islower() or spelling[0].isupper():
            if word not in self.known and spelling.islower():
                word = self._spelt(word)
                if word in self._kinds:
                    return Entry(*self._kinds[word], word, self._starts.get(word))
            return Entry(CONTENT, self._concept(word), word, phrases)
        return Entry(CONTENT, self.concepts.get(word, word), word, phrases)

    def _spelt(self, word: str) -> str:
        """The known word that ``word`` is with two letters swapped, or one twice or once."""
        if _LEAST_TYPO <= len(word) <= MAX_LENGTH and not self.known.intersection(_forms(word)):
            for i in range(1, len(word)):
                rest = word[i:]
                for guess in (
                    word[:i] + rest[1:2] + rest[0] + rest[2:],
                    word[:i] + word[i - 1] + rest,
                    word[:i] + rest[1:] if rest[0] == word[i - 1] else "",
                ):
                    if guess in self.known:
                        return guess
        return word

    def _contracted(self, word: str) -> Entry:
        whole = word.replace("'", "")
        if whole in self._several:
            return self._joined(word, self._several[whole])
        front, _, end = word.partition("'")
        first = self._entry(front)
        if end == "s" and first.kind == CONTENT:
            return Entry(SEVERAL, "", word, None, (Entry(ROLE, "'s", "'s"), first))
        if end in ("s", "re", "m", "ve", "d", "ll"):
            rest = {"s": "is", "re": "are", "m": "am", "ve": "have", "d": "would", "ll": "will"}[end]
            return self._joined(word, (front, rest))
        return Entry(CONTENT, whole, word)

    def _joined(self, word: str, parts: tuple[str, ...]) -> Entry:
        return Entry(SEVERAL, "", word, None, tuple(self._entry(p) for p in parts))

    def _number(self, word: str) -> Entry:
        if _THOUSANDS.fullmatch(word):
            word = word.replace(",", "")
        measured = _MEASURE.fullmatch(word)
        if measured is None:
            kind = NUMBER if not word[-1].isalpha() and "_" not in word else MARK
            return Entry(kind, word.removeprefix("+"), word)
        number, unit = measured[1], measured[2]
        if unit in _ORDINAL:
            return Entry(NUMBER, f"{number}.", word)
        if unit in self.concepts and len(unit) <= MAX_LENGTH:
            return self._joined(word, (number, unit))
        return Entry(MARK, word, word)

    def _concept(self, word: str) -> str:
        base = self._base(word)
        return self.concepts.get(base, base)

    def _base(self, word: str) -> str:
        """The form that a dictionary has; ``~`` after it if it may have lost an ``e``."""
        if word in self._kept or word in self.concepts:
            return word
        if word in self._bases:
            return self._bases[word]
        if len(word) <= _LONG_ENOUGH or not word.isascii():
            return word
        forms = list(_forms(word))
        known = next((f for f in forms if f in self._kept or f in self.concepts), None)
        if known is None and hasattr(self, "known"):
            known = next((f for f in forms if f in self.known), None)
        if known is not None:
            return known
        if not forms and len(word) > _LEAST_TYPO:
            for ending, verbs in _NOUNS:
                if word.endswith(ending) and word.removesuffix(ending) + verbs in self._acts:
                    return word.removesuffix(ending) + verbs
        return forms[0] if forms else word


def _forms(word: str) -> Iterator[str]:
    """What ``word`` may be a form of, the first being the guess for unknown words."""
    if word.endswith("s"):
        if word.endswith("ies") and len(word) > 4:
            yield word[:-3] + "y"
            yield word[:-1]
        elif word.endswith(("ches", "shes", "xes", "zes", "sses")):
            yield word[:-2]
            yield word[:-1]
        elif not word.endswith(("ss", "us", "is")):
            yield word[:-1]
            if word.endswith("oes"):
                yield word[:-2]
        return
    cut = 3 if word.endswith("ing") else 2 if word.endswith("ed") else 0
    stem = word[: len(word) - cut]
    if not cut or len(stem) < _LONG_ENOUGH or not set(stem) & set("aeiouy") or word.endswith("eed"):
        return
    if stem[-1] == stem[-2] and stem[-1] in "bdgmnprt":
        yield stem[:-1]
        yield stem
        return
    if cut == 2 and stem.endswith("i"):
        yield stem[:-1] + "y"
        return
    yield f"{stem}~"
    yield stem + "e"
    yield stem


def _lines(section: str) -> Iterator[list[str]]:
    for line in section.splitlines():
        if words := line.split():
            yield words
