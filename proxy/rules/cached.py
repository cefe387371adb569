"""What the stages that answer from a cache have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from proxy.core.cache import Epochs, Meter
from proxy.core.exchange import Exchange
from proxy.core.fills import Fills
from proxy.core.policy import Policy
from proxy.core.ports import Clock
from proxy.rules.cacheable import CacheRule


class CacheMeans(NamedTuple):
    """What they work with; ``rules`` by route."""

    rules: Mapping[str, CacheRule]
    epochs: Epochs
    fills: Fills
    meter: Meter
    clock: Clock


class CachedPolicy(Policy):
    """A cache for the routes that rules name."""

    def __init__(self, means: CacheMeans) -> None:
        self._rules, self._epochs, self._fills, self._meter, self._clock = means

    @property
    def is_idle(self) -> bool:
        """Whether no route has a cache."""
        return not self._rules

    def _counted(self, x: Exchange, rule: CacheRule, word: str) -> None:
        """One request that was not answered from here."""
        self._meter.result(rule.name, word)
        x.notes["cache"] = word
