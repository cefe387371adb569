"""Whether two questions that look alike ask the same.

Vectors of "can dogs eat grapes" and "can cats eat grapes" are nearer to each
other than those of most rephrasings.  Here a question is taken apart into what
it is about and what it asks; whatever stands on one side only, and is not
known to say nothing, speaks against serving the other's answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Final

from proxy.semantic.lexicon import Lexicon
from proxy.semantic.reader import Reader
from proxy.semantic.reading import Reading

MAX_LEFT: Final = 6
"""Words on one side only that are still compared with those of the other."""

_WEAK: Final = frozenset({"", "in", "on", "of", "for", "with"})
"""Roles that may go unsaid: France's capital, the capital of France."""

_SAME: Final = ({"of", "for"}, {"of", "in"}, {"in", "on"}, {"on", "for"}, {"with", "in"})
"""Roles that may be said either way: a limit of speed, on speed, for speed."""

_FINDING: Final = frozenset({"find", "see", "track"})
"""Where one does these is how one does them."""

_EFFECTS: Final = frozenset(
    {"cause", "reduce", "increase", "prevent", "treat", "cure", "affect", "kill"}
)
"""What can do these does them."""

_MUTUAL: Final = frozenset({"different", "distance"})
"""What is between two, whichever is named first."""

_FIRST: Final = frozenset({"I", "me", "my"})
_ALWAYS_OTHERS: Final = frozenset({"by", "than"})
"""What stands behind these has the opposite role without them."""


class LexicalGuard:
    """Says in a word what sets two questions apart, by the words of ``lexicon``."""

    def __init__(self, lexicon: bytes) -> None:
        self.lexicon = Lexicon(lexicon)
        self._reader = Reader(self.lexicon)

    def why_different(self, one: str, other: str) -> str:
        """Such as ``numbers``; empty if nothing does."""
        return "" if one == other else self.compare(self.read(one), self.read(other))

    def read(self, text: str) -> Reading:
        """What ``compare`` needs of a question; worth keeping if it is compared often."""
        return self._reader.read(text)

    def compare(self, a: Reading, b: Reading) -> str:
        """What ``why_different`` says."""
        why = self._compare(a, b)
        return "" if why and _folded(a.text) == _folded(b.text) else why

    def _compare(self, a: Reading, b: Reading) -> str:
        if not (a.is_english or b.is_english):
            return "language" if a.words != b.words else ""
        if not ((a.is_english or a.is_bare) and (b.is_english or b.is_bare)):
            return "language"
        if a.numbers != b.numbers:
            return "numbers"
        for label, check in _CHECKS:
            if check(a, b):
                return label
        return self._content(a, b)

    def _content(self, a: Reading, b: Reading) -> str:
        left = [c for c in a.roles if c not in b.roles]
        right = [c for c in b.roles if c not in a.roles]
        if not left and not right:
            return self._order(a, b)
        same: dict[str, str] = {}
        if left and right and len(left) <= MAX_LEFT and len(right) <= MAX_LEFT:
            for word in tuple(left):
                twin = next((w for w in right if _same_word(word, w)), None)
                if twin is not None:
                    same[twin] = word
                    left.remove(word)
                    right.remove(twin)
        if not (left and right) and all(w in self.lexicon.light for w in left or right):
            return self._order(a, _renamed(b, same) if same else b)
        return self._label(a, b, left[:MAX_LEFT], right[:MAX_LEFT])

    def _label(self, a: Reading, b: Reading, left: list[str], right: list[str]) -> str:
        opposites, labels = self.lexicon.opposites, self.lexicon.label
        if any(frozenset((u, v)) in opposites for u in left for v in right):
            return "antonym"
        for word in left + right:
            if word in labels:
                return labels[word]
        for words, text in ((left, a.text), (right, b.text)):
            if any(_is_name(word, text) for word in words):
                return "names"
        return "words" if left and right else "qualifier"

    def _order(self, a: Reading, b: Reading) -> str:
        """Whether who does what to whom is the same, as far as order and prepositions say it."""
        if (a.order == b.order and a.roles == b.roles) or _MUTUAL & a.roles.keys():
            return ""
        moved = _moved(a, b, self.lexicon)
        if moved is None or _phrases(a, b) != _phrases(b, a):
            return "order"
        is_asked = {"what", "who"} & a.asks and {"what", "who"} & b.asks
        is_turned = a.has_gap != b.has_gap and is_asked
        if is_turned:  # "who hit Bob" and "who did Bob hit", but also "what does it cost"
            moved = set(self.lexicon.predicates)
        mine = [w for w in a.order if w in b.roles and w not in moved]
        its = [w for w in b.order if w in a.roles and w not in moved]
        if mine == its:
            return ""
        if is_turned:
            return "order"
        return "" if self._is_verb_moved(mine, its, is_said="yesno" in a.asks | b.asks) else "order"

    def _is_verb_moved(self, mine: list[str], its: list[str], *, is_said: bool) -> bool:
        """Whether order differs as in "is it safe to drink milk" and "is drinking milk safe"."""
        predicates = self.lexicon.predicates.intersection(mine)
        if len(predicates) == 1:
            mine = [w for w in mine if w not in predicates]
            its = [w for w in its if w not in predicates]
        verbs = self.lexicon.verbs.intersection(mine)
        ways = [*verbs, ""]
        if verbs and not is_said:  # "reset a phone" and "phone reset"
            ways += {mine[0], mine[-1]} & {its[0], its[-1]}
        return any([w for w in mine if w != way] == [w for w in its if w != way] for way in ways)


def _moved(a: Reading, b: Reading, lexicon: Lexicon) -> set[str] | None:
    """Concepts that may stand anywhere; ``None`` if roles are not the same.

    What is labelled, a time or a measure, means another one with another preposition.
    """
    changes, moved = set(), set()
    is_translated = "translate" in a.roles
    for word, role in a.roles.items():
        other = b.roles.get(word, role)
        if is_translated and {role, other} == {"in", "to"}:
            other = role
        if role == other:
            if role:
                moved.add(word)
            continue
        changes.add((role, other))
        if role and other and ({role, other} not in _SAME or word in lexicon.label):
            return None
        if _ALWAYS_OTHERS & {role, other} or lexicon.label.get(word) == "form":
            return None  # "an English text in short", "a text in short English"
        if "from" in (role, other) and "to" not in {*a.roles.values(), *b.roles.values()}:
            return None  # "Rome to Oslo" is "from Rome to Oslo", but "hide it" not "hide from it"
        if {role, other} == {"", "of"} and _is_torn(
            word, *((a, b) if role else (b, a)), lexicon.verbs
        ):
            return None
        if role in _WEAK and other in _WEAK:
            moved.add(word)
    return None if any((other, role) in changes for role, other in changes) else moved


def _is_torn(word: str, owned: Reading, plain: Reading, verbs: AbstractSet[str]) -> bool:
    """Whether something stands between a word and whose it is in the one, in the other."""
    head = owned.heads.get(word, "")
    if head not in plain.roles:
        return False
    first, last = sorted((plain.order.index(word), plain.order.index(head)))
    between = plain.order[first + 1 : last]
    return any(owned.heads.get(w) != head and (w in verbs or owned.roles.get(w)) for w in between)


def _phrases(a: Reading, b: Reading) -> dict[str, list[str]]:
    """The concepts behind each preposition that both have there, in their order."""
    found: dict[str, list[str]] = {}
    for word in a.order:
        role = a.roles[word]
        if role and b.roles.get(word) == role:
            found.setdefault(role, []).append(word)
    return found


def _renamed(r: Reading, names: Mapping[str, str]) -> Reading:
    return replace(
        r,
        roles={names.get(w, w): role for w, role in r.roles.items()},
        heads={names.get(w, w): names.get(head, head) for w, head in r.heads.items()},
        order=[names.get(w, w) for w in r.order],
    )


def _folded(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(" ?.")


def _negation(a: Reading, b: Reading) -> bool:
    if len(a.scope) != len(b.scope):
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
    ignored = {"would"}
    if a.scope and b.scope:
        ignored.add("can")
    if "how" in a.asks | b.asks:
        ignored |= {"can", "should"}
    if "where" in a.asks or _EFFECTS & a.roles.keys():
        ignored.add("can")
    if "howlong" in a.asks and not (a.modals and b.modals):
        ignored.add("should")
    return a.modals - ignored != b.modals - ignored


def _time(a: Reading, b: Reading) -> bool:
    if ("future" in a.tenses) != ("future" in b.tenses):
        return True
    return bool(a.tenses and b.tenses) and not a.tenses & b.tenses


def _person(a: Reading, b: Reading) -> bool:
    third = {"he", "she"}
    if a.persons & third != b.persons & third:
        return True
    for one, other in ((a.persons, b.persons), (b.persons, a.persons)):
        if "I" in one and "me" not in one and "me" in other and "I" not in other:
            return True
    mine, its = ({"I" if p in _FIRST else p for p in r.persons - third} for r in (a, b))
    if not mine or not its or mine & its:
        return False
    return not all(r.modals or any(ask.startswith("how") for ask in r.asks) for r in (a, b))


_CHECKS: Final[tuple[tuple[str, Callable[[Reading, Reading], bool]], ...]] = (
    ("names", lambda a, b: a.marks != b.marks and sorted(a.marks) != sorted(b.marks)),
    ("code", lambda a, b: a.symbols != b.symbols),
    ("negation", _negation),
    ("asks", _asks),
    ("modality", _modality),
    ("time", _time),
    ("person", _person),
    ("scope", lambda a, b: bool(a.joins and b.joins) and not a.joins & b.joins),
    ("relation", lambda a, b: a.relations != b.relations),
)


def _is_name(word: str, text: str) -> bool:
    word = word.rstrip("~")
    return not word.isalpha() or text.find(word.capitalize(), 1) > 0 or word.upper() in text


def _same_word(one: str, other: str) -> bool:
    """Whether one may be the other without the ``e`` that its ending took."""
    bare, full = one.rstrip("~"), other.rstrip("~")
    if len(bare) == len(one) and len(full) == len(other):
        return False
    return bare == full or bare + "e" == full or full + "e" == bare
