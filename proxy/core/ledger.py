"""The port to whoever counts what tenants use, and its value types.

A request is admitted by one atomic step over all of its limits, charged an
estimate, and settled exactly once on what it really used.  How the counting
is done is in ``rules.buckets``; where, in ``stores``.

Amounts are integers: requests, tokens, slots, or billionths of a dollar
(nano-dollars).  Time is the store's own, so that replicas agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Protocol

Kind = Literal["rate", "window", "slot", "money"]
OnFailure = Literal["open", "closed", "local"]
Per = Literal["day", "month"]
RowState = Literal["settled", "abandoned", "late"]

MAX_AMOUNT: Final = 2**53 - 1
"""The largest count that a store may keep exactly; nine million dollars."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Limit:
    """One limit of a configuration; made at load, compared by identity.

    ``cap`` is what may be in use: of a ``rate`` the burst, of a ``window`` or
    of ``money`` the most in one UTC ``per``, of a ``slot`` how many at once.
    A ``rate`` gives back ``amount`` units every ``seconds``.  ``on_failure``
    says what happens while the store cannot be asked: ``open`` admits
    uncounted, ``closed`` refuses, ``local`` allows this replica's share.

    Raises ``ValueError`` for what cannot be counted.
    """

    name: str
    kind: Kind
    cap: int
    amount: int = 0
    seconds: int = 0
    per: Per = "day"
    on_failure: OnFailure = "closed"

    def __post_init__(self) -> None:
        """A rate has a speed, and everything fits the store's numbers."""
        if not 0 < self.cap <= MAX_AMOUNT:
            raise ValueError(f"{self.name}: a cap is between 1 and {MAX_AMOUNT}")
        if self.kind == "rate" and not (0 < self.amount <= MAX_AMOUNT and self.seconds > 0):
            raise ValueError(f"{self.name}: a rate gives something back in a time above 0")


class Claim(NamedTuple):
    """What is asked of one limit.

    ``scope`` says whose count it is (``tenant``, ``key/ci``, ``user/<hash>``,
    ``model/gpt-4o``): a limit is counted once for each scope of a tenant.  A
    ``slot`` takes one, whatever ``amount`` says.
    """

    limit: Limit
    scope: str
    amount: int = 1


Spot = tuple[Limit, str, int]
"""A limit, the scope it is counted for, and which of a request's amounts it counts."""

_new: Final = tuple.__new__


class Order:
    """Limits of one tenant that requests ask for together.

    Made once for many requests, which bring their ``amounts`` with them, and
    compared by identity: a ledger may remember what it has found for one.
    Several spots may count the same amount; no two are on one counter.
    """

    __slots__ = ("spots", "tenant")

    def __init__(self, tenant: str, spots: Iterable[Spot]) -> None:
        self.tenant = tenant
        self.spots = tuple(spots)

    def claims(self, amounts: Sequence[int]) -> tuple[Claim, ...]:
        """Claim by claim."""
        # Half the time of calling Claim, which has to take its arguments apart.
        return tuple([_new(Claim, (limit, scope, amounts[at])) for limit, scope, at in self.spots])

    def each(self, amounts: Sequence[int]) -> tuple[int, ...]:
        """The amounts alone, one for each spot."""
        return tuple([amounts[at] for _, _, at in self.spots])


def order_of(tenant: str, claims: Sequence[Claim]) -> tuple[Order, tuple[int, ...]]:
    """An order for one time only, and its amounts: one for each claim."""
    order = Order(tenant, ((limit, scope, i) for i, (limit, scope, _) in enumerate(claims)))
    return order, tuple([claim.amount for claim in claims])


class Grant(NamedTuple):
    """The ledger's word.  ``remaining`` and ``reset_s`` follow the spots.

    ``lease`` is what to settle; ``None`` says refused, and then ``denied`` is
    the index of the spot that stands longest in the way and ``wait_s`` the
    seconds until it no longer would (0 for a slot, which frees when it frees;
    ``None`` when waiting cannot help).  ``remaining`` is what is left of each
    limit and ``reset_s`` how long until it is whole again.

    ``is_local``: decided on this replica's share, as the store was down.
    ``was_uncounted``: nobody counted some claim; with a lease it was admitted
    open, without one it was refused because it is ``closed``.
    """

    lease: str | None
    denied: int | None = None
    wait_s: float | None = 0.0
    remaining: tuple[int, ...] = ()
    reset_s: tuple[float, ...] = ()
    is_local: bool = False
    was_uncounted: bool = False


class Settlement(NamedTuple):
    """What was really used, in the place of the amounts that were asked for.

    ``record`` is the line for the billing ledger, written in the same step;
    empty, with nothing used, it gives everything back and leaves no row.
    """

    actual: tuple[int, ...]
    record: bytes = b""


class Charge(NamedTuple):
    """What one lease took from a counter of a window; ``window`` numbers days or months."""

    counter: str
    window: int
    amount: int


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the billing ledger.  The last row of a lease is what counts.

    ``abandoned``: nobody settled before the lease ran out, so the estimate
    stands.  ``late``: settled without a reservation in the store (it was
    down, or has lost its memory).
    """

    tenant: str
    lease: str
    state: RowState
    charges: tuple[Charge, ...]
    record: bytes


class Ledger(Protocol):
    """Counts; never raises because a store is down, and never waits for one long.

    A lease that it has granted lives until it is settled or its holder dies.
    """

    @property
    def keeps_rows(self) -> bool:
        """Whether the billing ledger goes anywhere, so that records are worth making."""
        ...

    @property
    def keeps_estimates(self) -> bool:
        """Whether it needs a record at the reservation, for a holder that dies."""
        ...

    async def reserve(self, order: Order, amounts: tuple[int, ...], record: bytes = b"") -> Grant:
        """Take all of an order or nothing; an amount below 0 is 0.

        ``record`` is what the billing ledger shall say if nobody settles.
        The caller being cancelled here gives back what was taken.
        """
        ...

    async def peek(self, order: Order, amounts: tuple[int, ...]) -> Grant:
        """What ``reserve`` would say; takes nothing and gives no lease."""
        ...

    def settle(self, lease: str, settlement: Settlement) -> None:
        """Set a lease right, once; any further time does nothing.

        Plain: it is handed over here and finishes on its own, through an
        outage of the store if need be.
        """
        ...

    def note(self, tenant: str, record: bytes) -> None:
        """Write a row of the billing ledger for what no limit counts."""
        ...

    async def close(self, within_s: float = 5.0) -> None:
        """Hand over what waits, for at most ``within_s``, and let go of the store."""
        ...

    def status(self) -> dict[str, object]:
        """Plain facts for the status page: kind, whether it answers, counts."""
        ...
