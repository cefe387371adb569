"""Whether two answers say the same, as far as that can be told without a judge.

Strict: what cannot be told to be the same counts as different, so that a share
of wrong answers is rather too high than too low.
"""

from __future__ import annotations

import re
from operator import mul
from struct import unpack
from typing import Final

from proxy.core.semantic import Vector

NEAR: Final = 0.85
"""Least cosine of answers that say the same in other words."""

_WORD: Final = re.compile(r"[^\W_]+")
_NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)*")
_YES: Final = frozenset({"yes", "yeah", "yep", "correct", "true", "ja", "oui", "si", "sí", "是"})
_NO: Final = frozenset({"no", "nope", "incorrect", "false", "nein", "non", "不", "否"})


def same_words(one: str, other: str) -> bool:
    """Whether they differ in case, space and punctuation at most."""
    return _WORD.findall(one.casefold()) == _WORD.findall(other.casefold())


def cosine(one: Vector, other: Vector) -> float:
    """How near two vectors of length one are."""
    form = f"<{len(one) // 4}f"
    return float(sum(map(mul, unpack(form, one), unpack(form, other))))


def agree(one: str, other: str, near: float) -> bool:
    """Whether answers whose cosine is ``near`` say the same.

    They must begin with the same verdict, if with any, and the numbers of the
    one must be among those of the other.
    """
    if same_words(one, other):
        return True
    if near < NEAR or _verdict(one) != _verdict(other):
        return False
    ours, theirs = set(_NUMBER.findall(one)), set(_NUMBER.findall(other))
    return ours <= theirs or theirs <= ours


def _verdict(text: str) -> str:
    first = _WORD.search(text)
    word = first.group().casefold() if first is not None else ""
    return "yes" if word in _YES else "no" if word in _NO else ""
