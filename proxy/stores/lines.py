"""Claims in the form that ledgers count in: counters and amounts.

The making of a counter's name and arithmetic is done once and remembered;
packing writes what the scripts read, MessagePack arrays of plain integers
and strings (https://github.com/msgpack/msgpack/blob/master/spec.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from proxy.core.ledger import MAX_AMOUNT, Claim, Limit
from proxy.rules.counters import Line, line_of

MAX_KNOWN: Final = 8192

Lines = list[tuple[Line, int]]


class Counters:
    """Finds the counter of a claim, and its packed form."""

    def __init__(self) -> None:
        self._known: dict[tuple[Limit, str], tuple[Line, bytes]] = {}

    def lines(self, claims: Sequence[Claim]) -> Lines:
        """Each claim's counter and amount, which is never below 0.

        Raises ``ValueError`` for a limit that cannot be counted.
        """
        known = self._known
        found: Lines = []
        for claim in claims:
            entry = known.get((claim.limit, claim.scope)) or self._learn(claim)
            found.append((entry[0], max(0, claim.amount)))
        return found

    def pack(self, claims: Sequence[Claim], amounts: Sequence[int] | None = None) -> bytes:
        """The claims, or ``amounts`` in their place, as the scripts read them.

        Raises ``ValueError`` if there are not as many amounts as claims.
        """
        if amounts is None:
            amounts = [claim.amount for claim in claims]
        known = self._known
        count = len(claims)
        parts = [bytes((0x90 | count,)) if count < 16 else b"\xdc" + count.to_bytes(2, "big")]
        for claim, amount in zip(claims, amounts, strict=True):
            entry = known.get((claim.limit, claim.scope)) or self._learn(claim)
            parts.append(entry[1])
            parts.append(_integer(amount))
        return b"".join(parts)

    def _learn(self, claim: Claim) -> tuple[Line, bytes]:
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        line = line_of(claim.limit, claim.scope)
        scope, _, name = line.counter.partition(":")
        head = b"\x97" + b"".join(map(_integer, line[:4])) + _text(scope) + _text(name)
        entry = self._known[claim.limit, claim.scope] = (line, head)
        return entry


def _integer(value: int) -> bytes:
    if value < 128:
        return bytes((max(0, value),))
    return b"\xcf" + min(value, MAX_AMOUNT).to_bytes(8, "big")


def _text(value: str) -> bytes:
    data = value.encode()
    if len(data) < 32:
        return bytes((0xA0 | len(data),)) + data
    return bytes((0xD9, len(data))) + data
