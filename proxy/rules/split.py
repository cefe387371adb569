"""Sticky splits: who goes to which of several weighted targets.

Weighted rendezvous hashing (Thaler and Ravishankar 1998; weights as in
Schindelhauer and Schomaker 2005): each target scores each user by itself, so
raising one target's weight moves users into it and nobody between the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from math import log

from proxy.core.plan import Target

_SPAN = float(1 << 64)


def choose(targets: Sequence[tuple[Target, float]], seed: str) -> Target:
    """The target for ``seed``.  Weights of 0 are never chosen unless all are."""
    if len(targets) == 1:
        return targets[0][0]
    return max(targets, key=lambda pair: score(pair[0].name, pair[1], seed))[0]


def score(name: str, weight: float, seed: str) -> float:
    """The score of one target for one seed; the highest wins."""
    if weight <= 0:
        return -1.0
    key = f"{len(name)}:{name}{seed}".encode("utf-8", "surrogatepass")
    drawn = int.from_bytes(blake2b(key, digest_size=8).digest(), "big")
    return -weight / log((drawn + 0.5) / _SPAN)
