"""Vectors of texts from an upstream's ``/v1/embeddings``."""

from __future__ import annotations

import logging
import math
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

from proxy.core.semantic import Vector
from proxy.rules.patience import Patience
from proxy.upstream.ask import MAX_ANSWER, answer_of
from proxy.upstream.target import Upstream

log = logging.getLogger("sidestream.semantic")

MAX_DIMENSION: Final = 16_384

MAX_EACH: Final = 400_000
"""Bytes of an answer for each text: as many numbers, and some room."""

NOT_OF_TEXTS: Final = frozenset({401, 403, 404, 408, 429})
"""Statuses below 500 that speak of the upstream; others of what it was asked."""


class UpstreamEmbedder:
    """An ``Embedder`` that asks ``upstream`` for vectors of ``model``."""

    def __init__(self, upstream: Upstream, model: str, now: Callable[[], float]) -> None:
        self.ident = f"{upstream.name}/{model}"
        self._upstream = upstream
        self._model = model
        self._now = now
        self._patience = Patience()

    async def embed(self, texts: Sequence[str], timeout_s: float) -> list[Vector] | None:
        """One vector a text; ``None`` if late, at any fault, and while it is left alone."""
        if not texts:
            return []
        if self._patience.is_out(self._now()):
            return None
        asked = {"model": self._model, "input": list(texts), "encoding_format": "float"}
        answer = await answer_of(
            self._upstream, "/v1/embeddings", asked, within_s=timeout_s, now=self._now,
            most=min(MAX_EACH * len(texts), MAX_ANSWER),
        )  # fmt: skip
        vectors = vectors_of(answer.data, len(texts))
        if vectors is not None:
            self._patience.answered()
            return vectors
        if 400 <= answer.status < 500 and answer.status not in NOT_OF_TEXTS:
            return None  # who asks for such texts is not to take it from others
        if self._patience.failed(self._now()):
            log.warning("%s gives no embeddings of %s", self._upstream.name, self._model)
        return None


def vectors_of(answer: dict[str, Any], count: int) -> list[Vector] | None:
    """The vectors of an embeddings answer in the order of what was asked.

    ``None`` unless there are ``count``, of one dimension.
    """
    data = answer.get("data")
    if not isinstance(data, list) or len(data) != count:
        return None
    found: dict[int, Vector] = {}
    for place, item in enumerate(data):
        values = item.get("embedding") if isinstance(item, dict) else None
        vector = unit(values) if isinstance(values, list) else None
        index = item.get("index", place) if isinstance(item, dict) else None
        if vector is None or type(index) is not int:
            return None
        found[index] = vector
    if found.keys() != set(range(count)) or len({len(v) for v in found.values()}) > 1:
        return None
    return [found[i] for i in range(count)]


def unit(values: list[Any]) -> Vector | None:
    """``values`` at unit length; ``None`` if they are no numbers or have no length."""
    if len(values) > MAX_DIMENSION:
        return None
    try:
        length = math.hypot(*values)
    except (TypeError, OverflowError):
        return None
    if not 1e-30 < length < math.inf:  # which nan is not either
        return None
    return struct.pack(f"<{len(values)}f", *[value / length for value in values])
