"""How many tokens a request will take, before anybody has counted them.

A prompt's bytes are sorted into four classes that tokenizers treat alike,
each with the tokens a byte of it is mostly worth; the sum is multiplied by a
factor learned for each tenant and model from what upstreams reported.  The
answer is taken to be as long as nine in ten of those before it.
"""

from __future__ import annotations

from math import log
from typing import Final

from proxy.core.exchange import Usage

LETTER: Final = 0.22
"""Tokens a byte of ASCII letters and blanks; 4.5 bytes a token."""
DIGIT: Final = 0.4
CJK: Final = 0.25
"""Three bytes a character, three tokens for four of them."""
OTHER: Final = 0.4
"""Punctuation, and scripts of two or four bytes a character."""
MESSAGE: Final = 4
"""Tokens around each message."""
IMAGE: Final = 765
"""Tokens of an image of a middling size in full detail."""

FIRST_OUTPUT: Final = 512
"""The guess at an answer's length while nothing has been learned."""
MAX_LEARNED: Final = 10_000
FEW: Final = 20
RENEW: Final = 8
"""The quantile is looked up anew at each of the first answers, then at every eighth."""
_LETTERS: Final = bytes(range(65, 91)) + bytes(range(97, 123)) + b" "
_DIGITS: Final = b"0123456789"
_WIDE: Final = bytes(range(0xE3, 0xEE))
"""First bytes of the characters of Chinese, Japanese and Korean in UTF-8."""


def raw_tokens(data: bytes, messages: int = 0, images: int = 0, tokens: int = 0) -> float:
    """A prompt's tokens before any factor: its text, and what is counted apart.

    ``tokens`` are those that the client sent as numbers.
    """
    rest = data.translate(None, _LETTERS)
    marks = rest.translate(None, _DIGITS)
    total = LETTER * (len(data) - len(rest)) + DIGIT * (len(rest) - len(marks))
    other = len(marks)
    if not marks.isascii():
        wide = 3 * (other - len(marks.translate(None, _WIDE)))
        total += CJK * wide
        other -= wide
    total += OTHER * max(0, other)
    return total + MESSAGE * messages + IMAGE * images + tokens


class Quantile:
    """Where nine in ten of the values seen lie below, newer ones weighing more.

    Counts in buckets that grow by a fifth; each value weighs 2 % more than
    the one before, so about the last fifty decide.
    """

    __slots__ = ("_counts", "_total", "_weight")
    STEP: Final = 1.2
    SHARE: Final = 0.9
    _LOG: Final = log(STEP)

    def __init__(self) -> None:
        self._counts: dict[int, float] = {}
        self._total = 0.0
        self._weight = 1.0

    def add(self, value: int) -> None:
        """Take one value."""
        bucket = int(log(value) / self._LOG) + 1 if value > 0 else 0
        self._counts[bucket] = self._counts.get(bucket, 0.0) + self._weight
        self._total += self._weight
        self._weight *= 1.02
        if self._weight > 1e9:
            self._counts = {b: n / 1e9 for b, n in self._counts.items() if n > 1}
            self._total = sum(self._counts.values())
            self._weight = 1.0

    def value(self) -> int | None:
        """The upper end of the bucket that holds the quantile; ``None`` of nothing."""
        left = self._total * self.SHARE
        for bucket in sorted(self._counts):
            left -= self._counts[bucket]
            if left <= 1e-9 * self._total:
                return int(self.STEP**bucket) if bucket else 0
        return None


class _Learned:
    __slots__ = ("factor", "outputs", "p90", "seen")

    def __init__(self) -> None:
        self.factor = 1.0
        self.seen = 0
        self.outputs = Quantile()
        self.p90: int | None = None


class Estimator:
    """Estimates, and learns from what was reported.  Outlives a reload."""

    MAX_FACTOR: Final = 8.0
    SLOWEST: Final = 0.05
    """The least weight of a new value, so that a change is followed."""

    def __init__(self) -> None:
        self._learned: dict[tuple[str, str], _Learned] = {}

    def estimate(
        self, tenant: str, model: str, raw: float, wanted: int | None, choices: int = 1
    ) -> Usage:
        """The tokens to reserve; ``wanted`` is the client's own bound of one answer."""
        learned = self._learned.get((tenant, model))
        if learned is None:
            prompt, output = int(raw) + 1, FIRST_OUTPUT
        else:
            prompt = int(raw * learned.factor) + 1
            output = FIRST_OUTPUT if learned.p90 is None else learned.p90
        if wanted is not None and wanted < output:
            output = wanted
        return Usage(prompt, output * choices, estimated=True)

    def learn(self, tenant: str, model: str, raw: float, usage: Usage, choices: int = 1) -> None:
        """Take in what the upstream counted for a prompt that was ``raw``."""
        key = (tenant, model)
        learned = self._learned.get(key)
        if learned is None:
            if len(self._learned) >= MAX_LEARNED:
                del self._learned[next(iter(self._learned))]
            learned = self._learned[key] = _Learned()
        seen = learned.seen = learned.seen + 1
        if raw >= 1 and usage.prompt > 0:
            ratio = min(max(usage.prompt / raw, 1 / self.MAX_FACTOR), self.MAX_FACTOR)
            learned.factor += (ratio - learned.factor) * max(1 / seen, self.SLOWEST)
        learned.outputs.add(usage.completion // choices)
        if seen < FEW or not seen % RENEW:
            learned.p90 = learned.outputs.value()
