"""Whether two answers say the same, as far as that can be told without a judge.

Strict: where little differs it counts as all that matters, so that a share of
wrong answers is rather too high than too low.  All is linear in the texts.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from operator import mul
from struct import unpack
from typing import Final

from proxy.core.semantic import Vector
from proxy.semantic.lexicon import NUMBER, Lexicon

NEAR: Final = 0.9
"""Least cosine of answers that say the same in other words."""

FAR: Final = 0.6
"""Cosine below which they are about other things."""

SHORT: Final = 10
"""Words of an answer that comes in few forms."""

FEW: Final = 3
"""Words that long answers may differ in and still be word for word the same otherwise."""

MAX_LENGTH: Final = 2000
"""Characters; of longer answers only the same words agree."""

MAX_SAME: Final = 10_000
"""Characters; of longer answers only the same characters are the same words."""

_TOKEN: Final = re.compile(
    r"[-+±]?[$€£¥₹₽₩₿¢#~]?(?<![\w.])\.?\d+(?:[.,:/]\d+)*(?:\s?[%‰°€£¥$])?"  # -5, $5, .5, 5 %
    r"|(?<![\w)-])[-+]{1,2}(?=\S)"  # -sin(x), --force
    r"|[^\W_]+(?:['_][^\W_]+)*"
    r"|(?<=[\w)] )\*+(?= [\w(])|(?<=[\w)])\*+(?=[\w(])"  # an operator, no emphasis
    r"|(?<=\b[^\W_])-(?=[\w(])|(?<=[\w)])-(?=[^\W_]\b|[\d(])"  # x-y, no well-known
    r"|(?<=\S )-+(?= \S)"
    r"|!(?=[\w=])|(?<=\d)!|(?<=\b\w)!"
    r"|(?<=\w)\.(?=\w)|__+"
    r"|(?<=\d)'(?![^\W\d])"  # feet, which are no inches
    r"|[()\[\]{}]"
    r"|[^\w\s.,;:!?'\"*#`_-]|(?<=\w)\#|\#(?=\w)"
)
"""Words, numbers with what belongs to them, and whatever else may matter."""

_FOLDED: Final = str.maketrans(
    "\u2018\u2019\u2010\u2011\u2012\u2013\u2212\u3002\u3001\uff0c\uff01\uff1f\uff1b\uff1a",
    "''-----.,,!?;:",
    "\u00ad\u200b\ufeff\u201c\u201d\u201e\u00ab\u00bb\u2014\u2026\u2022\u00b7\u00a1\u00bf\u300c\u300d",
)
"""Quotes, dashes and stops as ASCII has them; what says nothing, gone."""

_OPERATORS: Final = frozenset("+-*/^=<>|&\u2264\u2265\u2260\u221a\u00d7\u00f7")
_BRACKETS: Final = frozenset("()[]{}")
_ENDS: Final = re.compile(r"(?:^|[.!?:\n])[\s*#_>-]*$")
_LETTER: Final = re.compile(r"[^\W\d_]")

_YES: Final = frozenset({"yes", "yeah", "yep", "correct", "true", "ja", "oui", "si", "sí", "是"})
_NO: Final = frozenset({"no", "nope", "incorrect", "false", "nein", "non", "不", "否"})

_WHOLE: Final = {"cannot": ("can", "not"), "can't": ("can", "not"), "won't": ("will", "not"),
                 "shan't": ("shall", "not"), "ain't": ("is", "not")}  # fmt: skip
_SHORT: Final = {"'s": "is", "'re": "are", "'m": "am", "'ll": "will", "'ve": "have"}
_SUBJECTS: Final = frozenset(
    {"it", "that", "there", "they", "he", "she", "you", "we", "I", "what", "who"}
)
_LIGHT: Final = frozenset({"a", "an", "the"})
_ABOUT: Final = {"approximately": "about", "roughly": "about"}
_LINKS: Final = frozenset({"is", "are", "was", "were"})
_OWN: Final = frozenset({
    "must", "may", "might", "need", "about", "approximately", "roughly", "all", "any", "some",
    "most", "many", "left",
})  # fmt: skip
"""Mean the same as others in questions, but not in answers."""


_ENDINGS: Final = ("ing", "ed", "s")
LEAST: Final = 2
"""Letters of a stem, but for one."""


def same_words(one: str, other: str) -> bool:
    """Whether they differ in space, punctuation and the capitals of words at most.

    Signs, operators, currencies and numbers are words too, and what is written
    in capitals alone or has some within is another word.
    """
    if one == other:
        return True
    if len(one) > MAX_SAME or len(other) > MAX_SAME:
        return False
    return [w for w, _ in _words(one)] == [w for w, _ in _words(other)]


def cosine(one: Vector, other: Vector) -> float:
    """How near two vectors of length one are; 0 if they cannot be compared."""
    if len(one) != len(other):
        return 0.0
    form = f"<{len(one) // 4}f"
    return float(sum(map(mul, unpack(form, one), unpack(form, other))))


def agree(one: str, other: str, near: float, lexicon: Lexicon | None = None) -> bool:
    """Whether answers whose cosine is ``near`` say the same.

    In other words they must begin with the same verdict, if with any, and say
    the same one by one: numbers, negations, names, symbols and all words but
    articles and the like.  A word may stand for another that is the same by the
    ``lexicon``, and "A is B" for "B is A" where A is definite.
    """
    if same_words(one, other):
        return True
    if near < NEAR or max(len(one), len(other)) > MAX_LENGTH:
        return False
    a, b = _words(one), _words(other)
    if _verdict(a) != _verdict(b) or _has_no_capitals(one) or _has_no_capitals(other):
        return False
    mine, its = _without_lead([w for w, _ in a]), _without_lead([w for w, _ in b])
    if _is_turned(mine, its):
        return True
    return _said(mine, lexicon) == _said(its, lexicon) and _names(a, b) == _names(b, a)


def compare(one: str, other: str, near: float, lexicon: Lexicon | None = None) -> bool | None:
    """Whether answers whose cosine is ``near`` say the same; ``None`` if nobody can tell.

    Those that do not ``agree`` differ where they are about other things, begin
    with yes and no, are short, or are the same but for a few words.  Long ones in
    other words may say the same or not.
    """
    if agree(one, other, near, lexicon):
        return True
    if near < FAR:
        return False
    if max(len(one), len(other)) > MAX_SAME:
        return None
    a, b = _words(one), _words(other)
    if max(len(a), len(b)) <= SHORT or {_verdict(a), _verdict(b)} == {"yes", "no"}:
        return False
    mine, its = (Counter(_said(_without_lead([w for w, _ in of]), lexicon)) for of in (a, b))
    return False if max((mine - its).total(), (its - mine).total()) <= FEW else None


def _words(text: str) -> list[tuple[str, bool]]:
    """All that matters in ``text``, and whether it has a capital that is not due to
    where it stands.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFC", text).translate(_FOLDED)
    words: list[tuple[str, bool]] = []
    for match in _TOKEN.finditer(text):
        word = match.group()
        is_first = False
        if word[0].isalpha():
            start = match.start()
            is_first = _ENDS.search(text, max(0, start - 8), start) is not None
            is_exact = bool(words) and words[-1][0] in ("-", "--", "+")
            if not is_exact and (word[1:].islower() or (is_first and word == "A")):
                named = word[0].isupper() and not is_first
                words.append((word.casefold(), named))
                continue
        words.append((word.replace(" ", ""), word != word.lower() and not is_first))
    if any(w[0] in _OPERATORS for w, _ in words):
        return words
    return [pair for pair in words if pair[0] not in _BRACKETS]


def _verdict(words: list[tuple[str, bool]]) -> str:
    first = next((w.casefold() for w, _ in words if w[0].isalnum()), "")
    return "yes" if first in _YES else "no" if first in _NO else ""


def _has_no_capitals(text: str) -> bool:
    """Whether some of it is in a script without them, so that names cannot be told."""
    return not text.isascii() and any(c.lower() == c.upper() for c in _LETTER.findall(text))


def _without_lead(words: list[str]) -> list[str]:
    """``words`` without contractions, and without "it is" and "the answer is" in front."""
    out: list[str] = []
    for word in words:
        front, quote, end = word.rpartition("'")
        if word in _WHOLE:
            out += _WHOLE[word]
        elif quote and front.endswith("n") and end == "t":
            out += (front[:-1], "not")
        elif quote and front in _SUBJECTS and quote + end in _SHORT:
            out += (front, _SHORT[quote + end])
        else:
            out.append(word)
    if out[:1] and out[0] in ("it", "this", "that") and out[1:2] and out[1] in ("is", "are"):
        return out[2:]
    return out[3:] if out[:3] == ["the", "answer", "is"] else out


def _is_turned(a: list[str], b: list[str]) -> bool:
    """Whether one is "A is B" and the other "B is A", one of them with "the" in front."""
    links = [i for i, w in enumerate(a) if w in _LINKS]
    if len(links) != 1 or len(a) != len(b):
        return False
    at = links[0]
    left, right = a[:at], a[at + 1 :]
    is_definite = left[:1] == ["the"] or right[:1] == ["the"]
    return is_definite and bool(left and right) and b == [*right, a[at], *left]


def _said(words: list[str], lexicon: Lexicon | None) -> list[str]:
    """``words`` by what they mean where that is known, without those that say nothing."""
    said: list[str] = []
    for i, word in enumerate(words):
        if word in _LIGHT and words[i + 1 : i + 2] not in (["few"], ["little"]):
            continue
        said.append(_meaning(word, lexicon) if lexicon is not None else _ABOUT.get(word, word))
    return said


def _meaning(word: str, lexicon: Lexicon) -> str:
    """Names all words of one meaning and tense; plurals are as singulars."""
    if word in _OWN or not word.isascii() or not word.islower():
        return _ABOUT.get(word, word)
    lexeme = lexicon.lexeme(word)
    if lexeme.kind == NUMBER:
        return lexeme.value
    ending = next((e for e in _ENDINGS if word.endswith(e) and len(word) > len(e) + LEAST), "")
    stem = word.removesuffix(ending)
    for base in (word, stem, f"{stem}e"):
        concept = lexicon.concepts.get(base)
        if concept is not None and lexicon.label.get(concept, "quantity") == "quantity":
            return concept if ending == "s" else concept + ending
    return stem if ending == "s" and word[-2] not in "sui" else word


def _names(of: list[tuple[str, bool]], other: list[tuple[str, bool]]) -> list[str]:
    """Words with capitals in their order; at the front of a sentence where ``other``
    has them elsewhere.
    """
    known = {word for word, is_named in other if is_named}
    return [word for word, is_named in of if is_named or word in known]
