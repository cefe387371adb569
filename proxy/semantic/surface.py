"""What stands in a text to the letter: case, signs, lines, and what cannot be seen.

Most of it says nothing in a question.  Where a question is about the words
themselves, or has signs as formulas and programs do, all of it counts.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final, Protocol

FOLDED: Final = str.maketrans(
    "\u2018\u2019\u201c\u201d\u00ab\u00bb\u2013\u2014\u2212\u2044\u00d7\u00f7",
    '\'\'""""---/*/',
)
"""Quotes, dashes and operators as ASCII has them."""

_LITERAL: Final = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?|\d+(?:[.,:]\d+)*|\d|_+|[^\W\d]")
_ANY: Final = re.compile(r"[^\w\s]")
_SIGN: Final = re.compile(r"([^\w\s]+)\s*(\w*(?:-\w+)*)")
_PLAIN: Final = re.compile(
    r"(?=[^\w\s])(?:(?<=[\w)\]'\"%])[.,;:?]+(?=[\s'\"]|$)"
    r"|(?<=[^\W\d_]{2})[.,;:?!]+(?=[\s'\"]|$)"  # ends
    r"|(?<=[^\W\d_]\s)[?!]+$|[¿¡](?=\w)"
    r"|(?<=[^\W\d_])['.](?=[^\W\d_])|(?<=\d)[.,:](?=\d)"  # within words and numbers
    r"|(?<![\ds])(?<!\b[^\W\d_])'|(?<=s)'(?=\W*$)|(?<!\d)\""  # around words
    r"|(?<=[^\W\d_]{2})-(?=[^\W_])|(?<=[^\W\d_])-(?=[^\W\d_]{2})"
    r"|(?<=[^\W\d_]{2}\s)-(?=\s[^\W\d_]{2})"
    r"|(?<=\d)[%$€£¥°]|[$€£¥](?=\d)|(?<=\s)&(?=\s))"
)
"""Signs that do no more than punctuation does, and units that words may stand for."""

_QUOTED: Final = re.compile(r"\"[^\"]*\"|(?<!\w)'[^']*'(?!\w)")
_GAPS: Final = re.compile(r" {2,}")
_AFTER: Final = re.compile(r"[^\s:]+\s[^:]*:\s")
"""Some words, and then those that they are about; one word only names the subject."""

_EASY: Final = re.compile(r"[A-Za-z ,.?!]*$")
_SPACED: Final = str.maketrans(",.?!", "    ")
_OWNED: Final = re.compile(r"'s(?=\s+[^\W\d_])")
_OPENING: Final = re.compile(
    r"(?:(?:hi|hello|hey|please|pls|plz|kindly|(?:can|could|would|will) you(?: please)?"
    r"|tell me|show me|give me) )*"
    r"(?:(what) (?:is|are)(?: the (?:meaning|definition) of)?(?: the| an| a)? "
    r"|(what)(?:'s|s)(?: the (?:meaning|definition) of)?(?: the| an| a)? |(what) does(?= .* mean$) "
    r"|(define) |(how) (?:do|can|could|would|should) (?:i|we|one) |(how) (?:do )?to )?"
)
_CLOSING: Final = re.compile(r"(?: (?:please|pls|plz|thanks|thank you|thx))+$")
_FIRST: Final = frozenset('.?!:\n"')
_UNSEEN: Final = frozenset({"Cc", "Cf", "Co", "Cn", "Cs"})
_SEEN: Final = frozenset("\n\t\r")
_SELECTORS: Final = re.compile("[\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_SHORT: Final = 3
"""Letters of capitals that may also be written small: NASA, but not MW."""


class Words(Protocol):
    """What is known of words: names that have others, and those that are no names."""

    aliases: frozenset[str]
    known: frozenset[str]


@dataclass(slots=True)
class Surface:
    """How a text is written.

    ``words`` are in lower case and without an opening that says nothing.
    ``names`` are words with capitals other than those of a sentence's first;
    ``spelt`` are all as they stand, none if case says nothing.
    ``quoted`` is what stands between quotes or behind a colon, in lower case.
    ``signs`` are all that do not merely end a clause; ``lines`` is the indent and
    the count of words of each, empty if there is but one.
    """

    words: str
    names: dict[str, str]
    spelt: set[str]
    literals: set[str]
    signs: list[str]
    lines: list[tuple[int, int]]
    unseen: str
    quoted: str
    is_cased: bool
    is_exact: bool


def surface(text: str, metas: frozenset[str]) -> Surface:
    """``metas`` are words whose presence says that it is words that are asked about."""
    text = text.strip()
    unseen = "" if text.isascii() and text.isprintable() else _unseen(text)
    if not text.isascii():
        text = unicodedata.normalize("NFC", text).translate(FOLDED)
    is_cased = not (text.islower() or text.isupper() or text.istitle())
    lines = []
    if "\n" in text:
        lines = [
            (len(line) - len(line.lstrip()), len(line.split()))
            for line in text.splitlines()
            if line.strip()
        ]
    quoted = _quoted(text)
    if "  " in text:
        text = _GAPS.sub(" ", text)
    signs = _signs(text)
    plain = _OWNED.sub("", text) if "'s" in text else text
    words = plain.translate(_SPACED).split() if _EASY.match(plain) else _LITERAL.findall(plain)
    joined = " ".join(words)
    folded = joined.casefold()
    literals = set(folded.split())
    names: dict[str, str] = {}
    if is_cased and joined != folded:
        names = _names(plain, [w for w in words if not w.islower()])
    is_meta = not metas.isdisjoint(literals) and not metas.isdisjoint(literals - names.keys())
    is_exact = is_meta or bool(signs or quoted)
    spelt = set(words) if is_cased else set()
    return Surface(
        _spoken(folded, is_exact=is_exact), names, spelt, literals, signs, lines, unseen, quoted,
        is_cased, is_exact,
    )  # fmt: skip


def differ_in_case(a: Surface, b: Surface, words: Words) -> bool:
    """Whether a name of the one is none, or another, in the other."""
    return _lacks(a, b, words) or _lacks(b, a, words)


def _lacks(a: Surface, b: Surface, words: Words) -> bool:
    is_exact = a.is_exact or b.is_exact
    for word, name in a.names.items():
        other = b.names.get(word)
        if other == name:
            continue
        if word in words.aliases or (not is_exact and _is_coined(word, name, words.known)):
            continue
        if other is not None or word in b.spelt:
            return True
        if word not in b.literals:
            return True
        if not b.is_cased and len(word) < _SHORT:
            return True
    return False


def _is_coined(word: str, name: str, known: frozenset[str]) -> bool:
    """Whether it is no word but a name, such as WhatsApp or HIIT, however it is written."""
    return len(word) >= _SHORT and not name[1:].islower() and word not in known


def _names(text: str, words: list[str]) -> dict[str, str]:
    names: dict[str, str] = {}
    at = 0
    for word in words:
        start = text.index(word, at)
        at = start + len(word)
        folded = word.casefold()
        if folded == word or (word[0] == "I" and word[1:2] in ("", "'")):
            continue
        if not (word[1:] or "a").islower() or not _is_first(text[:start].rstrip(" \t'(")):
            names[folded] = word
    return names


def _is_first(before: str) -> bool:
    """Whether a word begins a sentence, other than behind the dot of "St."."""
    if not before or (before[-1] in _FIRST and before[-1] != "."):
        return True
    return before[-1] == "." and not before[-4:-1].istitle() and before[-4:-3] != " "


def _spoken(joined: str, *, is_exact: bool) -> str:
    """The words, with one for what is asked instead of an opening that says no more."""
    found = _OPENING.match(joined)
    if found is None or not (found.end() or not is_exact):
        return joined
    kind = next(filter(None, found.groups()), "")
    rest = joined[found.end() :]
    if found[3]:
        rest = rest.removesuffix(" mean")
    if not is_exact:
        rest = _CLOSING.sub("", rest)
    return f"{'what' if kind == 'define' else kind}:{rest}"


def _quoted(text: str) -> str:
    after = _AFTER.match(text)
    if after:
        return text[after.end() :].casefold()
    if '"' in text or " '" in text or text[:1] == "'":
        return " ".join(_QUOTED.findall(text)).casefold() or "'"
    return ""


def _signs(text: str) -> list[str]:
    """Runs of signs with the word that follows each."""
    if not _ANY.search(text):
        return []
    return [run + word for run, word in _SIGN.findall(_PLAIN.sub("", text).casefold())]


def _unseen(text: str) -> str:
    """Characters that show nothing, but that a model reads."""
    if text.isprintable():
        return "".join(_SELECTORS.findall(text))
    return "".join(
        c
        for c in text
        if (not c.isprintable() and c not in _SEEN and unicodedata.category(c) in _UNSEEN)
        or _SELECTORS.match(c)
    )
