"""How many tokens a request will take, before anybody has counted them.

A prompt's bytes are sorted into classes that tokenizers treat alike, each
with the tokens that a byte of it is worth.  These worths are learned for each
tenant and model from what upstreams reported, by normalised least mean
squares (Widrow and Hoff, 1960).  The answer is taken to be as long as nine in
ten of those before it.
"""

from __future__ import annotations

from math import log
from typing import Final

from proxy.core.exchange import Usage

Sizes = tuple[int, int, int, int, int, int]
"""Bytes of letters, blanks, digits, CJK and all else; then tokens that need no guess."""

WORTH: Final = (0.2, 0.1, 0.6, 0.25, 0.5)
"""Tokens a byte of each class at first: five letters a token, and for CJK three
bytes a character and three tokens for four of them."""
MOST: Final = 8.0
LEAST: Final = 1 / 3
"""How many times more or less a byte may come to be worth; no tokenizer makes three
times fewer of a text, so nobody can teach that it does."""
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
PAUSE_S: Final = 0.02
"""After the first answers, those to requests that come within so short a time of the
last one teach nothing: fifty a second follow a change as fast as it can matter."""
FIRST_ERROR: Final = 0.125
"""How far off a guess is taken to be, as a share, before anybody knows."""
SLOWEST: Final = 0.1
"""The least weight of a new prompt, so that a change is followed."""
_LETTERS: Final = bytes(range(65, 91)) + bytes(range(97, 123))
_BLANKS: Final = b" \n\t\r"
_DIGITS: Final = b"0123456789"
_WIDE: Final = bytes(range(0xE3, 0xEE))
"""First bytes of the characters of Chinese, Japanese and Korean in UTF-8."""


def sizes_of(data: bytes, messages: int = 0, images: int = 0, tokens: int = 0) -> Sizes:
    """A prompt by classes: its text, and what is counted apart.

    ``tokens`` are those that the client sent as numbers.
    """
    words = data.translate(None, _LETTERS)
    marks = words.translate(None, _BLANKS)
    other = marks.translate(None, _DIGITS)
    wide = 0 if other.isascii() else 3 * (len(other) - len(other.translate(None, _WIDE)))
    return (
        len(data) - len(words),
        len(words) - len(marks),
        len(marks) - len(other),
        wide,
        max(0, len(other) - wide),
        MESSAGE * messages + IMAGE * images + tokens,
    )


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


class Learned:
    """What the prompts of a tenant to a model have cost, and how long the answers were."""

    __slots__ = ("at", "error", "outputs", "p90", "seen", "worth")

    def __init__(self) -> None:
        self.at = -PAUSE_S
        self.error = FIRST_ERROR
        self.worth: tuple[float, ...] = WORTH
        self.seen = 0
        self.outputs = Quantile()
        self.p90: int | None = None

    def prompt(self, sizes: Sizes) -> tuple[int, int]:
        """The tokens of a prompt: the best guess, and one that is hardly ever below.

        The second is what to reserve: what is too much is given back, what is
        too little is over the limit before anybody knows.
        """
        a, b, c, d, e, known = sizes
        worth_a, worth_b, worth_c, worth_d, worth_e = self.worth
        best = known + worth_a * a + worth_b * b + worth_c * c + worth_d * d + worth_e * e
        return int(best) + 1, int(best * (1 + 2 * self.error)) + 1

    def answer(self, wanted: int | None) -> int:
        """The tokens of one answer; ``wanted`` is the client's own bound of it."""
        output = FIRST_OUTPUT if self.p90 is None else self.p90
        return output if wanted is None or wanted > output else wanted

    def take(self, sizes: Sizes, prompt: int, output: int) -> None:
        """Learn from one answer, and from what its prompt had cost."""
        self.seen += 1
        if prompt > 0:
            self.correct(sizes, prompt)
        self.outputs.add(output)
        if self.seen < FEW or not self.seen % RENEW:
            self.p90 = self.outputs.value()

    def correct(self, sizes: Sizes, prompt: int) -> None:
        """Move the worths towards what would have made ``prompt`` of ``sizes``."""
        # Class by class and not in a loop, which takes three times as long.
        a, b, c, d, e, known = sizes
        worth_a, worth_b, worth_c, worth_d, worth_e = self.worth
        first_a, first_b, first_c, first_d, first_e = WORTH
        part_a, part_b, part_c = first_a * a, first_b * b, first_c * c
        part_d, part_e = first_d * d, first_e * e
        norm = (
            part_a * part_a + part_b * part_b + part_c * part_c + part_d * part_d + part_e * part_e
        )
        if norm < 1:
            return
        off = prompt - (known + worth_a * a + worth_b * b + worth_c * c + worth_d * d + worth_e * e)
        pace = max(1 / self.seen, SLOWEST)
        self.error += (min(1.0, abs(off) / prompt) - self.error) * min(0.5, pace)
        step = off * pace / norm
        self.worth = (
            _within(worth_a + step * first_a * part_a, first_a),
            _within(worth_b + step * first_b * part_b, first_b),
            _within(worth_c + step * first_c * part_c, first_c) if c else worth_c,
            _within(worth_d + step * first_d * part_d, first_d) if d else worth_d,
            _within(worth_e + step * first_e * part_e, first_e),
        )


def _within(worth: float, first: float) -> float:
    """A worth that no text could have is the nearest that one could."""
    least = first * LEAST
    return least if worth < least else min(worth, first * MOST)


class Estimator:
    """Estimates, and learns from what was reported.  Outlives a reload."""

    def __init__(self) -> None:
        self._learned: dict[tuple[str, str], Learned] = {}

    def known(self, tenant: str, model: str) -> Learned:
        """What is known of a tenant's prompts to a model, and of the answers."""
        return self._learned.get((tenant, model)) or _UNKNOWN

    def learn(
        self, tenant: str, model: str, sizes: Sizes, usage: Usage, choices: int = 1, at: float = 0.0
    ) -> None:
        """Take in what the upstream counted for a prompt of ``sizes`` that came ``at``."""
        learned = self._learned.get((tenant, model))
        if learned is None:
            if len(self._learned) >= MAX_LEARNED:
                del self._learned[next(iter(self._learned))]
            learned = self._learned[tenant, model] = Learned()
        if learned.seen >= FEW:
            if 0 <= at - learned.at < PAUSE_S:
                return
            learned.at = at
        learned.take(sizes, usage.prompt, usage.completion // choices)


_UNKNOWN: Final = Learned()
