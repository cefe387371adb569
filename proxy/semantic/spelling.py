"""Base forms of English words, and words misspelt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Final

MAX_TYPO: Final = 24
"""Letters of a word that is looked at for misspellings."""

_LEAST_TYPO: Final = 5
_LEAST_FORM: Final = 3
_LEAST_NOUN: Final = 5
_NOUNS: Final = (
    ("ification", "ify"), ("ation", "ate"), ("ation", "e"), ("ation", ""), ("ion", "e"),
    ("ion", ""), ("ment", ""), ("al", ""), ("al", "e"), ("ance", ""),
)  # fmt: skip
"""Endings of nouns made of verbs, and those of the verbs."""


class Forms:
    """Finds base forms; ``known`` are all words that are no misspellings."""

    def __init__(
        self,
        *,
        irregular: Mapping[str, str],
        unchanged: AbstractSet[str],
        verbs: AbstractSet[str],
        others: AbstractSet[str],
    ) -> None:
        self._irregular = irregular
        self._unchanged = unchanged
        self._verbs = verbs
        self.known = frozenset({*unchanged, *verbs, *others, *irregular, *irregular.values()})
        self._letters = frozenset(map(_letters, self.known))

    def base(self, word: str) -> str:
        """The form that a dictionary has; ``~`` after it if it may have lost an ``e``."""
        if word in self._unchanged:
            return word
        if word in self._irregular:
            return self._irregular[word]
        if len(word) <= _LEAST_FORM or not word.isascii():
            return word
        forms = list(_forms(word))
        for known in (self._unchanged, self.known):
            for form in forms:
                if form in known:
                    return form
        return forms[0] if forms else self._stem(word)

    def _stem(self, word: str) -> str:
        """The verb or adjective that a noun or an adverb is made of, if it is known."""
        if word.endswith("ly") and word[:-2] in self.known:
            return word[:-2]
        if len(word) > _LEAST_NOUN:
            for ending, verbs in _NOUNS:
                if word.endswith(ending) and word.removesuffix(ending) + verbs in self._verbs:
                    return word.removesuffix(ending) + verbs
        return word

    def spelt(self, word: str) -> str:
        """The known word that ``word`` is with two letters swapped, or one twice or once."""
        if word in self.known or not _LEAST_TYPO <= len(word) <= MAX_TYPO:
            return word
        if _letters(word) not in self._letters or self.known.intersection(_forms(word)):
            return word
        return next((guess for guess in _guesses(word) if guess in self.known), word)


def _letters(word: str) -> str:
    """Its letters, each once: what the misspellings that are looked for have in common."""
    return "".join(sorted(set(word)))


def _guesses(word: str) -> Iterator[str]:
    for i in range(1, len(word)):
        before, letter, after = word[:i], word[i], word[i + 1 :]
        yield before + after[:1] + letter + after[1:]
        yield before + before[-1] + letter + after
        if letter == before[-1]:
            yield before + after


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
    if not cut or len(stem) < _LEAST_FORM or not set(stem) & set("aeiouy") or word.endswith("eed"):
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
