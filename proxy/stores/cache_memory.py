"""Sealed answers in this process, the longest unused leaving first."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

OVERHEAD: Final = 300
"""Bytes that an entry costs beyond its own."""


_Kept = tuple[bytes, float, str]
"""Sealed, until when, for which scope.  Plain, as the collector need not look
into tuples of what holds nothing itself."""


class Memory:
    """At most ``limit`` bytes; times are of the monotonic clock."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, name: bytes, now: float) -> bytes | None:
        """What is kept, if its time is not over."""
        kept = self._kept.get(name)
        if kept is None:
            return None
        if now >= kept[1]:
            self.drop(name)
            return None
        self._kept.move_to_end(name)
        return kept[0]

    def put(self, name: bytes, sealed: bytes, until: float, scope: str) -> None:
        """Keep it, at the cost of what was not asked for the longest."""
        self.drop(name)
        size = len(sealed) + OVERHEAD
        if size > self.limit:
            return
        self._kept[name] = (sealed, until, scope)
        self.size += size
        while self.size > self.limit:
            self.drop(next(iter(self._kept)))

    def drop(self, name: bytes) -> bool:
        """Forget one; whether it was there."""
        kept = self._kept.pop(name, None)
        if kept is not None:
            self.size -= len(kept[0]) + OVERHEAD
        return kept is not None

    def drop_scope(self, scope: str) -> None:
        """Forget all of a scope."""
        for name in [n for n, kept in self._kept.items() if kept[2] == scope]:
            self.drop(name)

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self.size = 0
