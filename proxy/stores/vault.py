"""One cache: sealed answers in this process, and behind them those that replicas share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from proxy.core.cache import Found, Key
from proxy.core.ports import Clock
from proxy.stores.cache_memory import Memory
from proxy.stores.cache_redis import MOST, Shared
from proxy.stores.sealed import Master, Unsealable

NEAR_S: Final = 30.0
"""Seconds that an answer stays here where there is a store behind."""

LEAST_S: Final = 0.001
AT_ONCE: Final = 100
"""Answers in one call of the store, which serves nobody else meanwhile."""

FURTHER: Final = 64 << 10
"""Bytes that each further answer of one look-up may add to what it weighs."""


@dataclass(slots=True)
class Counts:
    """What has happened, for metrics; ``rejected`` by reason."""

    rejected: dict[str, int] = field(default_factory=dict)
    stored: int = 0


class SealedVault:
    """Implements ``core.cache.Vault``.

    Without a key of its own configuration (``is_own_key``) nothing is shared:
    nobody else could read it.  ``most`` is the bytes that an answer from there
    may weigh.
    """

    def __init__(
        self,
        shared: Shared,
        clock: Clock,
        masters: tuple[Master, ...],
        memory: Memory,
        *,
        is_own_key: bool,
    ) -> None:
        self._shared = shared
        self._clock = clock
        self._masters = masters
        self._master = masters[0]
        self._before = masters[1] if len(masters) > 1 else None
        self._is_far = shared.has_store and not is_own_key
        self.memory = memory
        self.most = MOST
        self.counts = Counts()

    @property
    def is_shared(self) -> bool:
        """Whether there is a far store that answers just now."""
        return self._is_far and self._shared.is_up

    def key(self, scope: str, material: bytes) -> Key:
        """The key for what two requests have in common."""
        before = self._before
        return Key(
            self._master.name(scope, material),
            before.name(scope, material) if before is not None else None,
        )

    def era(self, scope: str) -> bytes:
        """The salt of the scope."""
        return self._shared.salt(scope)

    def near(self, scope: str, key: Key) -> bytes | None:
        """What this process has."""
        sealed = self.memory.get(key.now, self._clock.now())
        if sealed is None:
            return None
        data = self._open(self._master, scope, key.now, sealed)
        if data is None:
            self.memory.drop(key.now)
        return data

    def _open(self, master: Master, scope: str, name: bytes, sealed: Any) -> bytes | None:
        if not isinstance(sealed, bytes):
            self._reject("form")
            return None
        try:
            return master.open(scope, self._shared.salt(scope), name, sealed)
        except Unsealable as exc:
            self._reject(exc.reason)
            return None

    def _reject(self, reason: str) -> None:
        rejected = self.counts.rejected
        rejected[reason] = rejected.get(reason, 0) + 1

    async def far(self, scope: str, keys: tuple[Key, ...], *, lease_s: float) -> Found:
        """What the replicas share."""
        if not self.is_shared:
            return self._nothing(keys)
        names = [key.now for key in keys]
        names += [key.before for key in keys if key.before is not None]
        most = self.most + FURTHER * (len(names) - 1)
        reply = await self._shared.get(scope, names, lease_s, most)
        if reply is None:
            return self._nothing(keys)
        is_ours, sealed = reply
        found: list[bytes | None] = []
        until = self._clock.now() + NEAR_S
        for i, key in enumerate(keys):
            data = None
            if sealed[i] is not None:
                data = self._open(self._master, scope, key.now, sealed[i])
                if data is not None:
                    self.memory.put(key.now, sealed[i], until, scope)
            elif key.before is not None and self._before is not None:
                old = sealed[len(keys) + i]
                data = self._open(self._before, scope, key.before, old) if old is not None else None
                if data is not None:
                    anew = self._master.seal(scope, self._shared.salt(scope), key.now, data)
                    self.memory.put(key.now, anew, until, scope)
            found.append(data)
        return Found(tuple(found), is_leader=is_ours or sealed[0] is not None)

    def _nothing(self, keys: Sequence[Key]) -> Found:
        """What is said of a far store that was not asked; where there is none, that is known."""
        return Found((None,) * len(keys), is_known=not self._is_far)

    async def may_refresh(self, scope: str, key: Key, lease_s: float) -> bool:
        """Whether no other replica is fetching a new answer: a lease of its own."""
        if not self.is_shared:
            return True
        reply = await self._shared.get(scope, (b"refresh" + key.now,), lease_s)
        return reply is None or reply[0]

    def keep(self, scope: str, key: Key, data: bytes, *, era: bytes, seconds: float) -> None:
        """Keep an answer in both."""
        self.keep_all(scope, ((key, data),), era=era, seconds=seconds)

    def keep_all(
        self, scope: str, pairs: Sequence[tuple[Key, bytes]], *, era: bytes, seconds: float
    ) -> None:
        """Keep several, which are given back no lease but that of the first."""
        if era != self._shared.salt(scope) or seconds < LEAST_S:
            if pairs:
                self.release(scope, pairs[0][0])
            return
        near = min(NEAR_S, seconds) if self._is_far else seconds
        until = self._clock.now() + near
        puts: list[tuple[bytes, bytes, int]] = []
        for key, data in pairs:
            sealed = self._master.seal(scope, era, key.now, data)
            self.memory.put(key.now, sealed, until, scope)
            puts.append((key.now, sealed, int(seconds * 1000)))
            self.counts.stored += 1
        if self._is_far:
            for at in range(0, len(puts), AT_ONCE):
                self._shared.put(scope, era, puts[at][0], puts[at : at + AT_ONCE])

    def release(self, scope: str, key: Key) -> None:
        """Let other replicas try."""
        if self._is_far:
            self._shared.put(scope, self._shared.salt(scope), key.now, ())

    def names(self, scope: str, name: bytes) -> set[bytes]:
        """Under what else an answer with that name may be kept, by each of the keys."""
        digests = [master.digest_of(scope, name) for master in self._masters]
        digest = next((found for found in digests if found is not None), None)
        if digest is None:
            return {name}
        return {master.named(scope, digest) for master in self._masters}

    def drop(self, scope: str, name: bytes) -> int:
        """Somebody has purged an answer, or (b"") more of them than can be told; how
        often that answer was here.
        """
        if name:
            return sum(self.memory.drop(each) for each in self.names(scope, name))
        if self._is_far:
            # What nobody else can name, nobody else has purged.
            self.memory.clear()
        return 0

    def forget(self, scope: str) -> None:
        """Somebody has purged a scope, or ("") anything."""
        if scope:
            self.memory.drop_scope(scope)
        else:
            self.memory.clear()
        for master in self._masters:
            master.forget(scope)
