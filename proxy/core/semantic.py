"""The port to whoever makes vectors of texts, such that near ones mean alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

Vector = bytes
"""Numbers of four bytes (float32, little endian) whose squares add up to one."""


class Embedder(Protocol):
    """Makes vectors of texts.  Never raises because a model or a server fails."""

    @property
    def ident(self) -> str:
        """Names the model; vectors of others cannot be compared."""
        ...

    async def embed(self, texts: Sequence[str], timeout_s: float) -> list[Vector] | None:
        """One vector a text, in their order; ``None`` if they cannot be had in time."""
        ...
