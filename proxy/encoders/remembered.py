"""An embedder that remembers what it was last asked, and asks for a text once at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Final, Literal

from proxy.core.semantic import Embedder, Vector

MAX_KEPT: Final = 512
"""Vectors; 1.5 KB each of 384 numbers."""


Told = Callable[[str, Sequence[str], Literal["made", "failed"]], None]
"""Hears of a call: for which scope, the texts, and what came of it."""


class Remembered:
    """``embedder`` with a memory of its last vectors.

    Kept is a digest of scope and text under ``secret``, never the text, so what one
    scope asked is not quicker for another.  A call goes on
    when who began it leaves, for others may have joined; it is bounded by the
    time that the first allowed.  ``told`` hears of every call of ``embedder``.
    """

    def __init__(
        self, embedder: Embedder, secret: bytes, most: int = MAX_KEPT, told: Told | None = None
    ) -> None:
        self._told = told
        self._embedder = embedder
        self._secret = secret
        self._most = most
        self._kept: dict[bytes, Vector] = {}
        self._calls: dict[bytes, asyncio.Task[dict[bytes, Vector]]] = {}

    @property
    def ident(self) -> str:
        """Names the model."""
        return self._embedder.ident

    async def embed(
        self, texts: Sequence[str], timeout_s: float, scope: str = ""
    ) -> list[Vector] | None:
        """One vector a text, in their order; ``None`` if they cannot be had in time."""
        keys = [self._key(scope, text) for text in texts]
        found: dict[bytes, Vector] = {}
        fresh: dict[bytes, str] = {}
        calls = set()
        for key, text in zip(keys, texts, strict=True):
            if (vector := self._recall(key)) is not None:
                found[key] = vector
            elif (call := self._calls.get(key)) is not None:
                calls.add(call)
            else:
                fresh[key] = text
        if fresh:
            calls.add(self._begin(scope, fresh, timeout_s))
        if calls:
            done, late = await asyncio.wait(calls, timeout=timeout_s)
            if late:
                return None
            for call in done:
                found |= {} if call.cancelled() else call.result()
        return [found[key] for key in keys] if all(key in found for key in keys) else None

    def _key(self, scope: str, text: str) -> bytes:
        data = f"{scope}\0{text}".encode("utf-8", "replace")
        return blake2b(data, key=self._secret, digest_size=16).digest()

    def _recall(self, key: bytes) -> Vector | None:
        vector = self._kept.pop(key, None)
        if vector is not None:
            self._kept[key] = vector  # at the end: used last, forgotten last
        return vector

    def _begin(
        self, scope: str, fresh: dict[bytes, str], timeout_s: float
    ) -> asyncio.Task[dict[bytes, Vector]]:
        call = asyncio.get_running_loop().create_task(self._ask(scope, fresh, timeout_s))
        for key in fresh:
            self._calls[key] = call
        return call

    async def _ask(
        self, scope: str, fresh: dict[bytes, str], timeout_s: float
    ) -> dict[bytes, Vector]:
        texts, vectors = tuple(fresh.values()), None
        try:
            vectors = await self._embedder.embed(texts, timeout_s)
        finally:
            for key in fresh:
                self._calls.pop(key, None)
            if self._told is not None:
                self._told(scope, texts, "failed" if vectors is None else "made")
        made = {} if vectors is None else dict(zip(fresh, vectors, strict=True))
        self._kept |= made
        while len(self._kept) > self._most:
            del self._kept[next(iter(self._kept))]
        return made
