"""What sets two questions apart before it matters what they are about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from proxy.semantic.reading import Reading

_FINDING: Final = frozenset({"find", "see", "track"})
"""Where one does these is how one does them."""

_EFFECTS: Final = frozenset({"cause", "reduce", "increase", "prevent", "treat", "cure", "affect"})
"""What can do these does them."""

_PERSONS: Final = {"I": "I", "me": "I", "my": "I"}
"""Pronouns of the same person."""


def _negation(a: Reading, b: Reading) -> bool:
    if len(a.scope) != len(b.scope):
        return True
    if a.denied != b.denied and a.joins | b.joins:
        return True
    if a.scope == b.scope or "" in a.scope or "" in b.scope:
        return False
    return sorted(a.scope) != sorted(b.scope)


def _asks(a: Reading, b: Reading) -> bool:
    mine, its = a.asks - {"what"}, b.asks - {"what"}
    if mine == its:
        return False
    lacking, more = (a, mine ^ its) if mine < its else (b, mine ^ its)
    if not (mine < its or its < mine) or len(more) > 1 or lacking.asks:
        # what differs and how it differs is the same question, as are price and how much
        about = a.roles.keys() & b.roles.keys()
        return not (
            (more == {"how"} and "different" in about)
            or (more == {"howmuch"} and "cost" in about)
            or (more == {"how", "where"} and _FINDING & (a.roles.keys() | b.roles.keys()))
        )
    if more == {"how"}:
        return lacking.is_task
    if more == {"why"}:
        return not lacking.scope
    return not (more == {"yesno"} and lacking.text.rstrip().endswith("?"))


def _modality(a: Reading, b: Reading) -> bool:
    if a.modals == b.modals:
        return False
    ignored = set()
    if a.scope and b.scope:
        ignored.add("can")
    if "how" in a.asks | b.asks:
        ignored |= {"can", "should"}
    if "where" in a.asks & b.asks or _EFFECTS & a.roles.keys() & b.roles.keys():
        ignored.add("can")
    if {"who", "where"} & a.asks & b.asks:
        ignored.add("should")
    if "howlong" in a.asks & b.asks and not (a.modals and b.modals):
        ignored.add("should")
    return a.modals - ignored != b.modals - ignored


def _time(a: Reading, b: Reading) -> bool:
    if {"future", "perfect"} & (a.tenses ^ b.tenses):
        return True
    return bool(a.tenses and b.tenses) and not a.tenses & b.tenses


def _voice(a: Reading, b: Reading) -> bool:
    """Whether one suffers what it does in the other."""
    if a.is_passive == b.is_passive or "how" in a.asks & b.asks:
        return False
    if "by" in (*a.roles.values(), *b.roles.values()):
        return False
    active, passive = (b, a) if a.is_passive else (a, b)
    return not (len(active.order) > 1 and set(passive.persons) < set(active.persons))


def _person(a: Reading, b: Reading) -> bool:
    one, other = ({_PERSONS.get(p, p) for p in r.persons} for r in (a, b))
    if {"he", "she"} & (one ^ other):
        return True
    if len(one) > 1 and len(other) > 1 and a.persons != b.persons:
        return True
    for first, second in ((a.persons, b.persons), (b.persons, a.persons)):
        if "I" in first and "me" not in first and "me" in second and "I" not in second:
            return True
    if ("my" in a.persons) is not ("my" in b.persons) and "you" in one ^ other and one & other:
        return True  # "how do I reset my" and "your password"
    if one & other:
        return False
    # "how do you boil rice" may be "how do I boil rice", but not so "how do you feel"
    is_loose = len(a.order) > 1 and all(
        r.modals or any(ask.startswith("how") for ask in r.asks) for r in (a, b)
    )
    return not is_loose and (bool(one and other) or "my" in (*a.persons, *b.persons))


def _joins(a: Reading, b: Reading) -> bool:
    if "then" in a.joins ^ b.joins:
        return True
    return bool(a.joins and b.joins) and not a.joins & b.joins


CHECKS: Final[tuple[tuple[str, Callable[[Reading, Reading], bool]], ...]] = (
    ("names", lambda a, b: a.marks != b.marks and sorted(a.marks) != sorted(b.marks)),
    ("negation", _negation),
    ("asks", _asks),
    ("modality", _modality),
    ("time", _time),
    ("order", _voice),
    ("person", _person),
    ("scope", _joins),
    ("relation", lambda a, b: sorted(a.relations) != sorted(b.relations)),
    ("relation", lambda a, b: bool(a.states and b.states) and a.states != b.states),
    ("words", lambda a, b: sorted(a.again) != sorted(b.again)),
)
"""Labels, and whether two readings differ in what they stand for."""
