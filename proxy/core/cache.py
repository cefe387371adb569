"""The port to whoever keeps answers: near, in this process, and far, for all replicas.

What is kept is bytes that mean nothing here.  They are sealed for one scope
(a tenant, or all of them) and one key; whoever swaps, cuts or replays them
makes a miss of them and never an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

FIRST: Final = "idempotency"
"""Name of the cache of first answers (``Idempotency-Key``); a configured one has another."""


class CannotPurge(Exception):
    """The store cannot be reached, so other replicas have not heard of it."""


class Gone(NamedTuple):
    """How many entries a purge took: of this process's memory, and of the store if
    there is one that says so.
    """

    here: int
    store: int | None


class Key(NamedTuple):
    """What an answer is kept under; ``before`` is its name under the last master key."""

    now: bytes
    before: bytes | None = None


class Terms(NamedTuple):
    """How long answers are fresh, serve on, and refusals are kept (seconds)."""

    ttl: float
    stale: float
    negative: float


@dataclass(frozen=True, slots=True)
class Found:
    """What the far store says of some keys, in their order.

    ``is_leader``: nobody else is fetching the (only) one that is missing, and
    the others will wait a moment for us.  Without ``is_known`` it could not be
    asked: what is missing may be there.
    """

    data: tuple[bytes | None, ...]
    is_leader: bool = True
    is_known: bool = True


class Vault(Protocol):
    """Keeps the answers of one cache.  Never raises because a store is down."""

    @property
    def is_shared(self) -> bool:
        """Whether there is a far store that answers just now."""
        ...

    def key(self, scope: str, material: bytes) -> Key:
        """The key for what two requests have in common."""
        ...

    def era(self, scope: str) -> bytes:
        """Changes when a scope is erased; what was begun before is not kept after."""
        ...

    def near(self, scope: str, key: Key) -> bytes | None:
        """What this process has."""
        ...

    async def far(self, scope: str, keys: tuple[Key, ...], *, lease_s: float) -> Found:
        """What the replicas share; takes the lease of a missing one, unless for 0 s."""
        ...

    async def may_refresh(self, scope: str, key: Key, lease_s: float) -> bool:
        """Whether no other replica is fetching a new answer for ``key``."""
        ...

    def keep(self, scope: str, key: Key, data: bytes, *, era: bytes, seconds: float) -> None:
        """Keep an answer in both, for at most ``seconds``."""
        ...

    def keep_all(
        self, scope: str, pairs: Sequence[tuple[Key, bytes]], *, era: bytes, seconds: float
    ) -> None:
        """Keep several at once."""
        ...

    def release(self, scope: str, key: Key) -> None:
        """No answer came that could be kept: let others try."""
        ...


class Epochs(Protocol):
    """Numbers that purges raise, so that all keys of a route change."""

    def of(self, route: str) -> int:
        """The epoch of a route."""
        ...


class Meter(Protocol):
    """Counts what caches do; ``observe.caching`` says which words there are."""

    def result(self, cache: str, result: str) -> None:
        """One request."""
        ...

    def hit(self, cache: str, result: str, age: float, tokens: int, nanos: int) -> None:
        """A request that was answered, and what that avoided."""
        ...

    def unstored(self, cache: str, reason: str) -> None:
        """An answer that was not kept."""
        ...
