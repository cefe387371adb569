"""Keys of requests, and those that were found before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from proxy.core.cache import Epochs, Key
from proxy.core.exchange import Exchange
from proxy.rules.cacheable import CacheRule, facts_of, why_not
from proxy.rules.cachekey import canonical, material
from proxy.rules.freshness import NO_WISH, Wish

MAX_KNOWN: Final = 4096
"""Keys that are remembered."""


class Keys:
    """Who asks the same mostly asks in the same bytes, so the keys of bodies are
    remembered, by a digest of them and all else that goes into a key.
    """

    def __init__(self, epochs: Epochs) -> None:
        self._epochs = epochs
        self._known: dict[tuple[bytes, str, tuple[str | int, ...]], Key] = {}

    def find(self, x: Exchange, rule: CacheRule, wish: Wish) -> Key | str:
        """The key, or in a word why there is none."""
        facts = facts_of(x, rule, self._epochs)
        if wish is not NO_WISH or x.raw is None:
            return _made(x, rule, wish, facts)
        seen = (x.digest(), x.tenant, facts)
        known = self._known.get(seen)
        if known is not None:
            return known
        key = _made(x, rule, wish, facts)
        if not isinstance(key, str):
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[seen] = key
        return key


def _made(x: Exchange, rule: CacheRule, wish: Wish, facts: Sequence[str | int]) -> Key | str:
    assert x.body is not None
    body = canonical(x.body)
    why = why_not(x, rule, wish, body)
    return why or rule.vault.key(rule.scope_of(x), material(facts, body))
