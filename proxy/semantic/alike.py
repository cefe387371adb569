"""Whether two questions that look alike ask the same.

Vectors of "can dogs eat grapes" and "can cats eat grapes" are nearer to each
other than those of most rephrasings.  Here a question is taken apart into what
it is about and what it asks; whatever stands on one side only, and is not
known to say nothing, speaks against serving the other's answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Final

from proxy.semantic.checks import CHECKS
from proxy.semantic.lexicon import Lexicon
from proxy.semantic.reader import Reader
from proxy.semantic.reading import Reading
from proxy.semantic.surface import Surface, differ_in_case, surface

MAX_LEFT: Final = 6
"""Words on one side only that are still compared with those of the other."""

MAX_MOVED: Final = 4
"""Concepts of which a verb may stand before or behind the others."""

_WEAK: Final = frozenset({"", "in", "on", "of", "for", "with"})
"""Roles that may go unsaid: France's capital, the capital of France."""

_SAME: Final = {"of", "in"}
"""Roles that may be said either way: the population of Chad, in Chad."""

_MUTUAL: Final = frozenset({"different", "distance"})
"""What is between two, whichever is named first."""

_UNSAID: Final = frozenset({"words", "qualifier"})
"""Reasons that may be forgiven: a word stands on one side only, of which nothing is known."""

_PREFIXES: Final = (
    "un", "in", "im", "ir", "il", "dis", "non", "mis", "anti", "de", "re", "ex", "a",
    "over", "under", "up", "down", "out", "pre", "post", "sub", "super", "hyper", "hypo",
    "pro", "inter", "intra", "macro", "micro", "mal", "semi",
)  # fmt: skip
"""What makes another word of one, mostly its opposite."""

_ALWAYS_OTHERS: Final = frozenset({"by", "than"})
"""What stands behind these has the opposite role without them."""


class LexicalGuard:
    """Says in a word what sets two questions apart, by the words of ``lexicon``."""

    def __init__(self, lexicon: bytes) -> None:
        self.lexicon = Lexicon(lexicon)
        self._reader = Reader(self.lexicon)

    def why_different(self, one: str, other: str, *, is_lenient: bool = False) -> str:
        """Such as ``numbers``; empty if nothing does.

        ``is_lenient`` forgives words of which nothing is known, if all else is the
        same: the more of them, the nearer should the two be.
        """
        if one == other:
            return ""
        metas = self.lexicon.metas
        a, b = surface(one, metas), surface(other, metas)
        if why := self._apart(a, b):
            return why
        readings = self._reader.read(one, a), self._reader.read(other, b)
        return self._alike(*readings, is_lenient=is_lenient)

    def _apart(self, a: Surface, b: Surface) -> str:
        if a.signs != b.signs or a.unseen != b.unseen or a.lines != b.lines:
            return "code"
        if a.quoted != b.quoted:
            return "words"
        return "names" if differ_in_case(a, b, self.lexicon) else ""

    def _alike(self, a: Reading, b: Reading, *, is_lenient: bool) -> str:
        one, other = a.surface, b.surface
        if one.words == other.words:
            return "" if a.words == b.words else "language"
        why = self._compare(a, b, is_lenient=is_lenient)
        return why or ("words" if one.is_exact or other.is_exact else "")

    def _compare(self, a: Reading, b: Reading, *, is_lenient: bool) -> str:
        if not (a.is_english or b.is_english):
            return "language" if a.words != b.words else ""
        if not ((a.is_english or a.is_bare) and (b.is_english or b.is_bare)):
            return "language"
        if a.numbers != b.numbers:
            return "numbers"
        for label, check in CHECKS:
            if check(a, b):
                return label
        return self._content(a, b, is_lenient=is_lenient)

    def _content(self, a: Reading, b: Reading, *, is_lenient: bool) -> str:
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
        why = self._label(a, b, left[:MAX_LEFT], right[:MAX_LEFT])
        if not is_lenient or why not in _UNSAID or max(len(left), len(right)) > MAX_LEFT:
            return why
        if any(len(word.rstrip("~")) < 3 for word in left + right):
            return "names"  # of a kind: hepatitis b
        if not (left and right) and any(word in self.lexicon.opposed for word in left or right):
            return why
        if _is_turned(left, right):
            return "antonym"
        # As if each stood in the other's place: what they do there must be the same.
        mine, its = (dict(zip(*ways, strict=False)) for ways in ((left, right), (right, left)))
        return self._order(a, _renamed(b, {**same, **its})) or self._order(
            b, _renamed(a, {**{w: twin for twin, w in same.items()}, **mine})
        )

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
        if _is_counted(a) and sorted(a.bound) != sorted(b.bound):
            return "numbers"
        if (a.order == b.order and a.roles == b.roles) or (_is_mutual(a) and _is_mutual(b)):
            return ""
        if "then" in a.joins:
            return "order"
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
        if "or" in a.joins or a.again:  # "he likes me or I like him"
            return "order"
        return "" if self._is_verb_moved(mine, its, is_said="yesno" in a.asks | b.asks) else "order"

    def _is_verb_moved(self, mine: list[str], its: list[str], *, is_said: bool) -> bool:
        """Whether order differs as in "is it safe to drink milk" and "is drinking milk safe"."""
        predicates = self.lexicon.predicates.intersection(mine)
        if len(predicates) == 1:
            mine = [w for w in mine if w not in predicates]
            its = [w for w in its if w not in predicates]
        verbs = self.lexicon.verbs.intersection(mine)
        if len(verbs) == len(mine) > 1:  # "prime and paint"
            return False
        if not verbs or len(mine) > MAX_MOVED:
            return mine == its
        ways = [*verbs, ""]
        if not is_said:  # "reset a phone" and "phone reset"
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
        if _is_other(word, role, other, lexicon) or word in a.tied ^ b.tied:
            return None
        if "from" in (role, other) and "to" not in {*a.roles.values(), *b.roles.values()}:
            return None  # "Rome to Oslo" is "from Rome to Oslo", but "hide it" not "hide from it"
        if {role, other} == {"", "of"} and _is_torn(
            word, *((a, b) if role else (b, a)), lexicon.verbs
        ):
            return None
        if role in _WEAK and other in _WEAK:
            moved.add(word)
    return None if any((other, role) in changes for role, other in changes) else moved


def _is_other(word: str, role: str, other: str, lexicon: Lexicon) -> bool:
    """Whether these two roles of a word never mean the same."""
    if role and other and ({role, other} != _SAME or word in lexicon.label):
        return True
    # "an English text in short", "a text in short English"
    return bool(_ALWAYS_OTHERS & {role, other}) or lexicon.label.get(word) == "form"


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


def _is_counted(r: Reading) -> bool:
    """Whether it matters to what each number belongs."""
    return len(r.numbers) > 1 or any(number.endswith(".") for number in r.numbers)


def _is_mutual(r: Reading) -> bool:
    """Whether it asks what is between two, whichever is named first."""
    if len(r.order) != 3 or not _MUTUAL & r.roles.keys():
        return False
    if r.order[1] in _MUTUAL:  # coffee vs tea, how coffee differs from tea
        return set(r.roles.values()) <= {"", "from"}
    is_pair = bool(r.joins) or "from" in r.roles.values()
    return is_pair and r.order[0] in _MUTUAL and set(r.roles.values()) <= {"", "between", "from"}


def _is_name(word: str, text: str) -> bool:
    word = word.rstrip("~")
    return not word.isalpha() or text.find(word.capitalize(), 1) > 0 or word.upper() in text


def _is_turned(left: list[str], right: list[str]) -> bool:
    """Whether a prefix makes another word of one: increase, decrease; suitable, unsuitable."""
    theirs = [found for word in right for found in _stems(word).items()]
    return any(
        mine.get(stem, prefix) != prefix for mine in map(_stems, left) for stem, prefix in theirs
    )


def _stems(word: str) -> dict[str, str]:
    """What a word may be made of: stems, without what may be an ending, and what turns them."""
    bare = word.rstrip("~")
    if len(bare) > 6 and bare.endswith("less"):
        return {_stem(bare[:-4]): "less"}
    bare = bare.removesuffix("ful")
    found = {}
    for prefix in ("", *_PREFIXES):
        rest = bare.removeprefix(prefix)
        if len(rest) > 2 and bare.startswith(prefix):
            found[_stem(rest)] = prefix
    return found


def _stem(word: str) -> str:
    return word[: max(4, len(word) - 3)]


def _same_word(one: str, other: str) -> bool:
    """Whether one may be the other without the ``e`` that its ending took."""
    bare, full = one.rstrip("~"), other.rstrip("~")
    if len(bare) == len(one) and len(full) == len(other):
        return False
    return bare == full or bare + "e" == full or full + "e" == bare
