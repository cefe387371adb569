"""Verdicts that are remembered, because agents send their history again.

Kept is a keyed digest of the guard and the text, never the text; the key is
this process's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from proxy.core.judging import PASS, Said, Verdict

MAX_KEPT: Final = 20_000
"""Verdicts; about 200 bytes each."""


@dataclass(frozen=True, slots=True)
class Open:
    """Texts on which there is no verdict yet, and the keys to keep one by."""

    texts: tuple[Said, ...]
    keys: tuple[bytes, ...]


class Verdicts:
    """Verdicts by guard and text, each until its time is over."""

    def __init__(self, secret: bytes, now: Callable[[], float], most: int = MAX_KEPT) -> None:
        self._secret = secret
        self._now = now
        self._most = most
        self._kept: dict[bytes, tuple[float, Verdict]] = {}

    def recall(self, identity: bytes, texts: Sequence[Said]) -> Verdict | Open:
        """The verdict on ``texts`` if it is known, or those that are open."""
        left: dict[bytes, Said] = {}
        for said in texts:
            key = self._key(identity, said.role.encode(), said.text.encode("utf-8", "replace"))
            known = self._fresh(key)
            if known is None:
                left[key] = said
            elif known.category:
                return known
        if not left:
            return PASS
        keys = tuple(left)
        return self._fresh(self._joint(keys)) or Open(tuple(left.values()), keys)

    def keep(self, found: Open, verdict: Verdict, seconds: float) -> None:
        """Remember a verdict on texts that were open; no failure is kept."""
        if verdict.failure or seconds <= 0:
            return
        # All of them are good; but bad may be only one of them, or two together.
        keys = (self._joint(found.keys),) if verdict.category else found.keys
        until = self._now() + seconds
        for key in keys:
            self._kept.pop(key, None)
            self._kept[key] = (until, verdict)
        while len(self._kept) > self._most:
            del self._kept[next(iter(self._kept))]

    def _fresh(self, key: bytes) -> Verdict | None:
        until, verdict = self._kept.get(key, (0.0, PASS))
        return verdict if until > self._now() else None

    def _joint(self, keys: Sequence[bytes]) -> bytes:
        return self._key(b"together", *keys)

    def _key(self, *parts: bytes) -> bytes:
        state = blake2b(key=self._secret, digest_size=16)
        for part in parts:
            state.update(len(part).to_bytes(8, "big"))
            state.update(part)
        return state.digest()
