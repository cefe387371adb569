"""What tokens cost: exact integers, billionths of a dollar (nano-dollars).

The shipped table holds published list prices as its makers knew them (the
date stands in the file); ``prices`` in the configuration overrides it.  A
price is in nano-dollars per million tokens, so a product of tokens and price
divided by a million is exact to the nano-dollar, rounded up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import orjson

from proxy.core.exchange import Usage
from proxy.rules.globs import GlobSet, is_literal

_DATED: Final = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8}|\d{4}|latest|preview)$")
MILLION: Final = 1_000_000
MAX_KNOWN: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Nano-dollars per million tokens; ``None`` costs what plain tokens cost.

    ``request`` is what each request costs beside, in nano-dollars.
    ``tiers`` are thousandths of the price by service tier, beside ``TIERS``.
    """

    input: int
    output: int
    cached: int | None = None
    audio_in: int | None = None
    audio_out: int | None = None
    tiers: Mapping[str, int] = field(default_factory=dict)
    request: int = 0


TIERS: Final = {"batch": 500, "flex": 500, "priority": 2000}
"""Thousandths of the standard price.  Batches and flex cost half at OpenAI; priority
costs 1.7 to 2 times as much there, by model, and is taken as the most."""


FREE: Final = frozenset(
    {
        "tokenize", "detokenize", "responses_input_tokens", "messages_count_tokens", "models",
        "moderations",
    }
)  # fmt: skip
"""Endpoints that cost nothing anywhere, so that a budget in dollars lets them be."""


def load_prices(text: bytes) -> dict[str, Price]:
    """The shipped table: model to USD per million tokens."""
    table: dict[str, Price] = {}
    for model, row in orjson.loads(text)["usd_per_million_tokens"].items():
        nanos: dict[str, Any] = {n: int(Decimal(str(usd)) * 10**9) for n, usd in row.items()}
        table[model] = Price(**nanos)
    return table


class PriceTable:
    """Prices by model; the overrides, which may be globs, come first."""

    def __init__(self, shipped: Mapping[str, Price], overrides: Mapping[str, Price]) -> None:
        self._exact = {**shipped, **{m: p for m, p in overrides.items() if is_literal(m)}}
        self._own = {m: p for m, p in overrides.items() if is_literal(m)}
        self._globs = [(GlobSet((m,)), p) for m, p in overrides.items() if not is_literal(m)]
        self._known: dict[str, Price | None] = {}

    def find(self, model: str) -> Price | None:
        """The price of ``model``, dated and prefixed names included."""
        if model in self._known:
            return self._known[model]
        price = self._find(model)
        if len(self._known) < MAX_KNOWN:
            self._known[model] = price
        return price

    def _find(self, model: str) -> Price | None:
        if model in self._own:
            return self._own[model]
        for glob, price in self._globs:
            if glob.matches(model):
                return price
        bare = model.rpartition("/")[2]
        undated = _DATED.sub("", bare)
        for name in (model, bare, undated):
            if name in self._exact:
                return self._exact[name]
        return None


def cost_nanos(price: Price, usage: Usage) -> int:
    """What ``usage`` costs, in nano-dollars, rounded up."""
    if not (usage.cached or usage.audio_in or usage.audio_out or usage.tier):
        return plain_nanos(price, usage.prompt, usage.completion)
    cached = min(usage.cached, usage.prompt)
    audio_in = min(usage.audio_in, usage.prompt - cached)
    audio_out = min(usage.audio_out, usage.completion)
    total = (
        (usage.prompt - cached - audio_in) * price.input
        + cached * _or(price.cached, price.input)
        + audio_in * _or(price.audio_in, price.input)
        + (usage.completion - audio_out) * price.output
        + audio_out * _or(price.audio_out, price.output)
    )
    if usage.tier:
        total = total * price.tiers.get(usage.tier, TIERS.get(usage.tier, 1000)) // 1000
    return price.request - (-total // MILLION)


def plain_nanos(price: Price, prompt: int, completion: int) -> int:
    """What tokens of no special kind cost, in nano-dollars, rounded up."""
    return price.request - (-(prompt * price.input + completion * price.output) // MILLION)


def _or(special: int | None, plain: int) -> int:
    return plain if special is None else special
