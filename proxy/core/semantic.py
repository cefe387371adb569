"""Ports to what finds questions that mean the same: who makes vectors of texts,
and who keeps them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

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


class ScopedEmbedder(Protocol):
    """An embedder that may remember: how long it takes for one scope tells nothing
    of what others have asked.
    """

    @property
    def ident(self) -> str:
        """Names the model."""
        ...

    async def embed(
        self, texts: Sequence[str], timeout_s: float, scope: str = ""
    ) -> list[Vector] | None:
        """As ``Embedder`` does, for a scope."""
        ...


class AnswerJudge(Protocol):
    """Tells whether two answers to a question say the same.  Never raises."""

    async def is_same(self, question: str, one: str, other: str) -> bool | None:
        """``None`` if there is no verdict."""
        ...


class Asked(NamedTuple):
    """A question that was asked before: how near it is, in which words, and the
    name its answer is kept under.
    """

    cosine: float
    text: str
    name: bytes


class Questions(Protocol):
    """Keeps questions by what they were asked in (their frame), for one scope each.

    ``limit`` and ``size`` are bytes, ``rejected`` counts what could not be
    opened.  Never raises because a store is down.
    """

    limit: int
    size: int
    rejected: int

    def __len__(self) -> int:
        """How many there are."""
        ...

    async def hear(self, scope: str, frame: bytes) -> None:
        """Take over what replicas have learned; waits for one call of the store at most."""
        ...

    def near(
        self, scope: str, frame: bytes, vector: Vector, threshold: float, most: int
    ) -> list[Asked]:
        """Those with a cosine of ``threshold`` or more, the nearest first."""
        ...

    def add(
        self, scope: str, frame: bytes, asked: Asked, vector: Vector, *, era: bytes, seconds: float
    ) -> None:
        """Keep one, for about ``seconds``."""
        ...

    def drop(self, scope: str, frame: bytes, name: bytes) -> None:
        """One whose answer is gone."""
        ...

    def forget(self, scope: str) -> None:
        """A scope was erased, or ("") all."""
        ...
