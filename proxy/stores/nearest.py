"""The nearest of many vectors.

Each vector is kept in halves of the precision it came in, and as its signs,
a bit a number.  Two vectors at an angle ``a`` differ in about ``a / pi`` of
their signs (Charikar, "Similarity estimation techniques from rounding
algorithms", 2002), so counting differing bits rules out nearly all; what is
left is compared in full.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np

from proxy.core.semantic import Vector

Array = np.ndarray[Any, Any]

SMALL: Final = 256
"""Up to so many are compared in full: cheaper than counting bits first."""

MOST: Final = 64
"""At most so many are compared in full where there are more."""

FIRST: Final = 8
BLOCK: Final = 1024
"""Rows that are made at once, and never moved; the first so many double from ``FIRST``."""

OVERHEAD: Final = 250
"""Bytes an entry costs beside its vector and what is kept with it."""


class Near(NamedTuple):
    """One that was found: cosine, name, and what was kept with it."""

    cosine: float
    name: bytes
    kept: bytes


class Nearest:
    """At most ``limit`` vectors of one dimension; the oldest leave first."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._rows: dict[bytes, int] = {}  # the oldest first
        self._names: list[tuple[bytes, bytes]] = []
        self._free: list[int] = []
        self._dimension = 0
        self._room = 0
        self._vectors: list[Array] = []
        self._signs: list[Array] = []
        self._kept_bytes = 0

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, name: bytes) -> bool:
        return name in self._rows

    @property
    def size(self) -> int:
        """Bytes, about."""
        rows = self._room * _row_bytes(self._dimension)
        return rows + self._kept_bytes + len(self._rows) * OVERHEAD

    def cost(self, vector: Vector) -> int:
        """Bytes that room for one more such vector takes; 0 where there is some."""
        dimension = len(vector) // 4
        if dimension != self._dimension:
            return FIRST * _row_bytes(dimension)
        if self._free or len(self._names) < self._room:
            return 0
        return self._step() * _row_bytes(dimension)

    def _step(self) -> int:
        """Rows to make next."""
        return max(FIRST, min(self._room, BLOCK))

    def add(self, name: bytes, vector: Vector, kept: bytes) -> None:
        """Keep a vector in the place of any of that name.

        One of another dimension than those before makes them useless: they go.
        """
        numbers: Array = np.frombuffer(vector, "<f4")
        if numbers.size != self._dimension:
            self._restart(numbers.size)
        self.drop(name)
        if len(self._rows) >= self.limit:
            self.drop(next(iter(self._rows)))
        row = self._free.pop() if self._free else self._new_row()
        self._rows[name] = row
        self._names[row] = (name, kept)
        self._vectors[row // BLOCK][row % BLOCK] = numbers
        self._signs[row // BLOCK][row % BLOCK] = _signs_of(numbers)
        self._kept_bytes += len(kept)

    def _restart(self, dimension: int) -> None:
        self._rows.clear()
        self._names.clear()
        self._free.clear()
        self._kept_bytes = 0
        self._dimension = dimension
        self._room = 0
        self._vectors.clear()
        self._signs.clear()

    def _new_row(self) -> int:
        row = len(self._names)
        self._names.append((b"", b""))
        if row >= self._room:
            step = self._step()
            vectors: Array = np.zeros((step, self._dimension), np.float16)
            signs: Array = np.zeros((step, -(-self._dimension // 64)), np.uint64)
            if row % BLOCK:
                self._vectors[-1] = np.concatenate([self._vectors[-1], vectors])
                self._signs[-1] = np.concatenate([self._signs[-1], signs])
            else:
                self._vectors.append(vectors)
                self._signs.append(signs)
            self._room += step
        return row

    def drop(self, name: bytes) -> None:
        """Forget one."""
        row = self._rows.pop(name, None)
        if row is not None:
            self._kept_bytes -= len(self._names[row][1])
            self._names[row] = (b"", b"")
            self._vectors[row // BLOCK][row % BLOCK] = 0  # at right angles to everything
            self._free.append(row)

    def find(self, vector: Vector, threshold: float, most: int) -> list[Near]:
        """At most ``most`` with a cosine of ``threshold`` or more, the nearest first."""
        wanted: Array = np.frombuffer(vector, "<f4")
        used = len(self._names)
        if not self._rows or wanted.size != self._dimension:
            return []
        if used <= SMALL:
            rows: Array = np.arange(used)
            vectors = self._vectors[0][:used]
        else:
            rows = self._likely(wanted, threshold)
            if not len(rows):
                return []
            vectors = np.stack([self._vectors[row // BLOCK][row % BLOCK] for row in rows.tolist()])
        cosines = vectors.astype(np.float32) @ wanted
        best = np.argsort(-cosines, kind="stable")[:most]
        found = []
        for at in best:
            cosine = float(cosines[at])
            name, kept = self._names[int(rows[at])]
            if cosine >= threshold and name:
                found.append(Near(min(1.0, cosine), name, kept))
        return found

    def _likely(self, wanted: Array, threshold: float) -> Array:
        """Rows whose signs differ in no more places than those of near vectors do."""
        bits = wanted.size
        signs = _signs_of(wanted)
        counts = np.concatenate(
            [np.bitwise_count(block ^ signs).sum(1, dtype=np.int32) for block in self._signs]
        )[: len(self._names)]
        share = math.acos(max(-1.0, min(1.0, threshold))) / math.pi
        bound = bits * share + 4 * math.sqrt(bits * share * (1 - share)) + 1
        rows = np.flatnonzero(counts <= bound)
        if len(rows) > MOST:
            rows = rows[np.argpartition(counts[rows], MOST)[:MOST]]
        return rows


def _row_bytes(dimension: int) -> int:
    return 2 * dimension + 8 * -(-dimension // 64)


def _signs_of(numbers: Array) -> Array:
    packed = np.packbits(numbers > 0)
    return np.pad(packed, (0, -len(packed) % 8)).view(np.uint64)
