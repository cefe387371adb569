"""What a question says: what it is about, what it asks, and who does what to whom."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from proxy.semantic.lexicon import (
    AND,
    ASK,
    BE,
    CONTENT,
    DROP,
    FOREIGN,
    MARK,
    MODAL,
    NOT,
    NUMBER,
    PERSON,
    ROLE,
    STOP,
    Lexeme,
    Lexicon,
)  # fmt: skip
from proxy.semantic.surface import Surface

_CONJUNCTIONS: Final = ("when", "where", "who")
"""Words that ask only before a verb or at the beginning."""

_TIES: Final = frozenset({"for", "on", "with", "to", "from"})
"""What makes another verb of the one before it: pay, pay for."""

_NOUNS: Final = ("ion", "al", "ance", "ment")
"""Endings of nouns made of verbs."""

_GERUNDS: Final = frozenset({"being", "having"})
"""Auxiliaries that stand for a noun: the cost of having a dog."""

_PASSIVE: Final = frozenset({"is", "are", "am", "was", "were", "be", "been", "being"})
"""What makes a passive of a participle."""


@dataclass(slots=True)
class Reading:
    """What a question says.

    ``is_bare`` is said of words that may be of any language, as names are.
    Of what is not English there are only ``words``, folded; of what is, all the rest.
    ``roles`` is every concept with the preposition that it stands behind, and
    ``order`` the same as they were met, but sorted where they are joined by "and".
    ``heads`` says of what stands behind "of", or before "'s", whose it is.
    ``has_gap`` is said of "who did he hit" and "what is it made of", unlike "who hit him".
    ``scope`` is what stands behind a negation, empty for one whose place says nothing;
    ``denied`` what stands before it; ``tied`` what stands behind "pay for".
    ``bound`` is each number with the concept that follows; ``again`` what was said before.
    ``states`` are "be" and "have" where one is asked what it is to be or have something.
    ``is_passive`` is said of "was it built", unlike "did it build".
    """

    text: str
    surface: Surface
    words: list[str] = field(default_factory=list)
    roles: dict[str, str] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)
    scope: list[str] = field(default_factory=list)
    asks: set[str] = field(default_factory=set)
    modals: set[str] = field(default_factory=set)
    tenses: set[str] = field(default_factory=set)
    persons: list[str] = field(default_factory=list)
    relations: list[str] = field(default_factory=list)
    bound: list[tuple[str, str]] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
    tied: set[str] = field(default_factory=set)
    denied: list[str] = field(default_factory=list)
    joins: set[str] = field(default_factory=set)
    states: set[str] = field(default_factory=set)
    heads: dict[str, str] = field(default_factory=dict)
    is_english: bool = False
    is_bare: bool = False
    has_gap: bool = False
    is_task: bool = False
    is_passive: bool = False


class Walk:
    """Goes through the lexemes of a text once and notes in the reading what they say."""

    __slots__ = (
        "_head",
        "_is_fresh",
        "_is_joined",
        "_is_negated",
        "_is_passive",
        "_is_tied",
        "_lexemes",
        "_lexicon",
        "_owner",
        "_r",
        "_role",
        "_run",
        "_unbound",
    )  # fmt: skip

    def __init__(self, reading: Reading, lexemes: list[Lexeme], lexicon: Lexicon) -> None:
        self._r, self._lexemes, self._lexicon = reading, lexemes, lexicon
        self._role = ""
        self._head = ""  # what stood before the preposition
        self._run = 0  # where in the order what is joined by "and" begins
        self._owner = ""  # what stood before "'s"
        self._unbound: list[str] = []  # numbers that nothing follows yet
        self._is_joined = self._is_negated = False
        self._is_tied = False  # behind a verb and its preposition
        self._is_passive = False  # behind a form of be
        self._is_fresh = True  # at the beginning of a sentence

    def go(self) -> None:
        """Notes all of it."""
        for i, lexeme in enumerate(self._lexemes):
            _STEPS[lexeme[0]](self, lexeme, i)
        r = self._r
        if self._is_negated:
            r.scope.append("")
        last = next((e[0] for e in reversed(self._lexemes) if e[0] != STOP), DROP)
        r.has_gap = r.has_gap or last == ROLE

    def thing(self, lexeme: Lexeme, i: int) -> None:
        """What the question may be about."""
        r, value, role = self._r, lexeme[1], self._role
        order = r.order
        if not order and value in self._lexicon.tasks:
            r.is_task = True
        if self._owner:
            r.heads[self._owner] = value
            self._owner = ""
        if role == "of" and self._head:
            r.heads[value] = self._head
        elif role == "'s":
            self._owner, role, self._role = value, "of", ""
        is_verb = value in self._lexicon.verbs
        self._note_form(lexeme, i, is_verb=is_verb)
        if value in r.roles:
            r.again.append(value)
        else:
            r.roles[value] = role
            order.append(value)
            if self._is_joined and not is_verb:
                order[self._run :] = sorted(order[self._run :])
            else:
                self._run = len(order) - 1
        if self._is_negated:
            r.scope.append(value)
        self._is_joined = self._is_fresh = self._is_negated = False

    def _note_form(self, lexeme: Lexeme, i: int, *, is_verb: bool) -> None:
        """What numbers before it and its ending say."""
        r, value, word = self._r, lexeme[1], lexeme[2]
        if self._unbound:
            r.bound += [(number, value) for number in self._unbound]
            self._unbound.clear()
        if self._is_tied:
            r.tied.add(value)
            self._is_tied = False
        if not is_verb or word == value:
            return
        is_past = word.endswith("ed") or word in self._lexicon.pasts
        r.is_passive = r.is_passive or (is_past and self._is_passive)
        if i and self._lexemes[i - 1][0] == ASK and (is_past or word.endswith("s")):
            r.tenses.add("past" if is_past else "present")

    def mark(self, lexeme: Lexeme, i: int) -> None:
        """What must be the same to the letter."""
        self._r.marks.append(lexeme[1])
        self.thing(lexeme, i)

    def preposition(self, lexeme: Lexeme, i: int) -> None:
        """What gives a role to what follows."""
        value = lexeme[1]
        self._role = "" if value == "to" and self._is_verb(i + 1) else value
        self._head = self._r.order[-1] if self._r.order else ""
        _, verb, word = self._lexemes[i - 1][:3] if i else (0, "", "")
        self._is_tied = value in _TIES and verb in self._lexicon.verbs and not word.endswith(_NOUNS)
        if value in self._lexicon.weighty:
            self._r.relations.append(value)
        elif self._is_stranded(i + 1):
            self._r.relations.append(f"{value}.")

    def _is_stranded(self, at: int) -> bool:
        """Whether a preposition before this has nothing behind it."""
        if at == len(self._lexemes):
            return True
        kind, _, word = self._lexemes[at][:3]
        return kind in (STOP, BE, MODAL, ASK, AND) and word not in _GERUNDS

    def _is_verb(self, at: int) -> bool:
        if at == len(self._lexemes):
            return False
        kind, value = self._lexemes[at][:2]
        return kind in (BE, MODAL) or (kind == CONTENT and value in self._lexicon.verbs)

    def conjunction(self, lexeme: Lexeme, _: int) -> None:
        """Joins what may change places."""
        self._is_joined = bool(self._r.order) and lexeme[1] in ("and", "or")
        self._is_passive = False
        self._r.joins.add(lexeme[1])

    def number(self, lexeme: Lexeme, _: int) -> None:
        """A number."""
        self._r.numbers.append(lexeme[1])
        self._unbound.append(lexeme[1])
        self._is_joined = self._is_fresh = False
        self._run = len(self._r.order)

    def stop(self, lexeme: Lexeme, _: int) -> None:
        """The end of a clause."""
        self._role = ""
        self._is_joined = self._is_passive = False
        self._is_fresh = self._is_fresh or lexeme[1] == "."

    def negation(self, lexeme: Lexeme, _: int) -> None:
        """A negation."""
        r = self._r
        r.denied.append(r.order[-1] if r.order else "")
        if self._is_negated or lexeme[1] != "not":
            r.scope.append("")
        self._is_negated = self._is_negated or lexeme[1] == "not"

    def person(self, lexeme: Lexeme, i: int) -> None:
        """A pronoun, but for the country before what is there."""
        if (
            lexeme[2] == "us"
            and self._lexemes[i + 1 : i + 2]
            and self._lexemes[i + 1][0] == CONTENT
        ):
            self.thing(lexeme._replace(kind=CONTENT, value="unitedstates"), i)
            return
        self._r.persons.append(lexeme[1])
        self._is_fresh = False

    def ask(self, lexeme: Lexeme, i: int) -> None:
        """A question word."""
        value = lexeme[1]
        following = self._lexemes[i + 1][0] if i + 1 < len(self._lexemes) else STOP
        if self._is_negated:  # "it is not who has", unlike "it is who has not"
            self._r.scope.append(value)
            self._is_negated = False
        if value == "yesno" and not self._is_fresh:
            return
        if (
            value not in _CONJUNCTIONS
            or following in (BE, MODAL, STOP)
            or (self._is_fresh and (following != PERSON or value != "when"))
        ):
            self._r.asks.add(value)
        self._role = ""
        self._is_fresh = False

    def auxiliary(self, lexeme: Lexeme, i: int) -> None:
        """A form of be, do or have, or a modal."""
        r, value = self._r, lexeme[1]
        if self._is_fresh:
            r.asks.add("yesno")
        self._is_joined = False  # "he likes me or do I like him"
        self._is_passive = lexeme[2] in _PASSIVE or (self._is_passive and lexeme[0] == MODAL)
        if lexeme[0] == MODAL:
            r.modals.add(value)
        elif value == "-":
            if i and self._lexemes[i - 1][1] == "to":
                r.states.add(lexeme[2])
        else:
            r.tenses.add(value)
            r.has_gap = r.has_gap or lexeme[2] in ("do", "does", "did")
        self._role = ""
        self._is_fresh = False

    def nothing(self, lexeme: Lexeme, i: int) -> None:
        """What says nothing."""


_STEPS: Final = tuple(
    {
        CONTENT: Walk.thing, FOREIGN: Walk.thing, MARK: Walk.mark, ROLE: Walk.preposition,
        NOT: Walk.negation, ASK: Walk.ask, BE: Walk.auxiliary, MODAL: Walk.auxiliary,
        PERSON: Walk.person, NUMBER: Walk.number, AND: Walk.conjunction, STOP: Walk.stop,
    }.get(kind, Walk.nothing)
    for kind in range(15)
)  # fmt: skip
"""What to do with each kind of lexeme."""
