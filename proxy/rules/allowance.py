"""What a tenant, its key, its user and the model may use, as claims on a ledger.

Everything is made when the configuration is read but the amounts, which a
request brings with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, NamedTuple

from proxy.core.ledger import MAX_AMOUNT, Limit, Order, Spot
from proxy.rules.globs import GlobSet

Measure = Literal["requests", "tokens", "output", "slots", "cost"]
By = Literal["tenant", "key", "user", "model"]
Action = Literal["reject", "route_to", "cache_only", "cap_output"]
Told = Literal["requests", "tokens"]

NOBODY: Final = "-"
"""The user of requests that name none: they share one count."""

MAX_KNOWN: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What follows when an amount of money is spent.

    ``soft`` is the amount in nano-dollars at which somebody is told, 0 for
    never.  ``first_soft`` and ``first_spent`` let one through in each window,
    so that of all replicas one tells; ``uncapped`` counts on where the budget
    does not stop requests.
    """

    action: Action
    first_soft: Limit
    first_spent: Limit
    uncapped: Limit
    model: str = ""
    most: int = 0
    soft: int = 0
    soft_shown: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """One limit, whose it is, what of a request it counts, and how people say it.

    ``scope`` is empty where only a request knows whose it is.
    """

    limit: Limit
    by: By
    measure: Measure
    shown: str
    for_streams: bool = False
    scope: str = ""
    budget: Budget | None = None


def budget_of(limit: Limit, soft: float, action: Action, *, model: str, most: int) -> Budget:
    """What follows from a limit of money; ``soft`` is a share of it, or 0."""
    return Budget(
        action=action,
        model=model,
        most=most,
        soft=int(limit.cap * soft),
        soft_shown=f"{soft:.0%}",
        first_soft=_first(limit, "soft"),
        first_spent=_first(limit, "spent"),
        uncapped=replace(limit, cap=MAX_AMOUNT, on_failure="open"),
    )


def _first(limit: Limit, what: str) -> Limit:
    name = f"{limit.name}.told.{what}"
    return replace(limit, name=name, kind="window", cap=1, on_failure="open")


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """All that one entry of ``limits`` says, for one tenant, key, user or model.

    Tokens, and nano-dollars; ``None`` is no bound.
    """

    bounds: tuple[Bound, ...] = ()
    max_input: int | None = None
    max_output: int | None = None
    max_cost: int | None = None

    def for_key(self, key: str) -> Allowance:
        """The same where limits of each key are limits of this one."""
        if not any(bound.by == "key" and not bound.scope for bound in self.bounds):
            return self
        scope = f"key/{key or NOBODY}"
        bounds = tuple(replace(b, scope=scope) if b.by == "key" else b for b in self.bounds)
        return replace(self, bounds=bounds)


class Amounts(NamedTuple):
    """What one request takes of each measure."""

    requests: int
    tokens: int
    output: int
    slots: int
    cost: int


@dataclass(frozen=True, slots=True)
class Sheet:
    """The allowances of one tenant, key and model together.

    ``order`` is what to ask of the ledger, of ``Amounts``, where no bound is a
    user's; else each user's is in ``orders``.  ``told`` are the bounds that
    headers tell of, and ``shown`` what they say of each; ``soft`` are those that
    somebody is told of, with what is then left of them.
    """

    tenant: str
    bounds: tuple[Bound, ...]
    max_input: int | None = None
    max_output: int | None = None
    max_cost: int | None = None
    order: Order | None = field(init=False)
    orders: dict[str, Order] = field(init=False)
    told: tuple[tuple[Told, tuple[int, ...]], ...] = field(init=False)
    shown: tuple[int, ...] = field(init=False)
    soft: tuple[tuple[int, int], ...] = field(init=False)
    needs_cost: bool = field(init=False)

    def __post_init__(self) -> None:
        """Everything that follows from the bounds."""
        put = object.__setattr__
        bounds = self.bounds
        has_users = any(bound.by == "user" for bound in bounds)
        put(self, "order", None if has_users else self._order(""))
        put(self, "orders", {})
        put(self, "told", tuple(_told(bounds)))
        put(self, "shown", tuple(bound.limit.amount or bound.limit.cap for bound in bounds))
        put(self, "soft", tuple(
            (i, b.limit.cap - b.budget.soft) for i, b in enumerate(bounds)
            if b.budget is not None and b.budget.soft and b.limit is not b.budget.uncapped
        ))  # fmt: skip
        put(self, "needs_cost", any(bound.measure == "cost" for bound in bounds))

    def order_for(self, user: str, scope: str) -> Order:
        """What to ask for ``user``, who is counted as ``scope``; remembered."""
        if len(self.orders) >= MAX_KNOWN:
            self.orders.clear()
        order = self.orders[user] = self._order(scope)
        return order

    def _order(self, user: str) -> Order:
        return Order(self.tenant, (_spot(bound, user) for bound in self.bounds))


def _spot(bound: Bound, user: str) -> Spot:
    scope = user if bound.by == "user" else bound.scope
    return bound.limit, scope, Amounts._fields.index(bound.measure)


def _told(bounds: Sequence[Bound]) -> Iterable[tuple[Told, tuple[int, ...]]]:
    kinds: tuple[Told, ...] = ("requests", "tokens")
    for kind in kinds:
        places = tuple(i for i, bound in enumerate(bounds) if bound.measure == kind)
        if places:
            yield kind, places


def sheet_of(tenant: str, allowances: Sequence[Allowance], *, is_stream: bool) -> Sheet:
    """Everything that holds at once: all bounds, the least of each maximum."""
    return Sheet(
        tenant,
        tuple(
            bound
            for allowance in allowances
            for bound in allowance.bounds
            if is_stream or not bound.for_streams
        ),
        _least(allowance.max_input for allowance in allowances),
        _least(allowance.max_output for allowance in allowances),
        _least(allowance.max_cost for allowance in allowances),
    )


def _least(values: Iterable[int | None]) -> int | None:
    return min((value for value in values if value is not None), default=None)


def relaxed(sheet: Sheet, spent: Collection[Limit]) -> Sheet:
    """The same with the budgets in ``spent`` counting on but stopping nothing."""
    bounds = tuple(
        replace(bound, limit=bound.budget.uncapped)
        if bound.budget is not None and bound.limit in spent
        else bound
        for bound in sheet.bounds
    )
    return replace(sheet, bounds=bounds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenancy:
    """Whose limits a tenant's requests meet: its own, each user's, a key's, a model's."""

    own: Allowance | None = None
    users: Allowance | None = None
    keys: Mapping[str, Allowance] = field(default_factory=dict)
    models: tuple[tuple[GlobSet, Allowance], ...] = ()


class AllowanceTable:
    """Finds the sheet of a request."""

    def __init__(self, tenants: Mapping[str, Tenancy]) -> None:
        self._tenants = tenants
        self._known: dict[tuple[str, str, str, bool], Sheet | None] = {}

    @property
    def is_empty(self) -> bool:
        """Whether nobody has limits."""
        return not any(t.own or t.users or t.keys or t.models for t in self._tenants.values())

    def find(self, tenant: str, key: str, model: str, *, is_stream: bool = False) -> Sheet | None:
        """All that bounds such a request; ``None`` if nothing does."""
        asked = (tenant, key, model, is_stream)
        try:
            return self._known[asked]
        except KeyError:
            if len(self._known) >= MAX_KNOWN:
                # Clients choose models; the common ones come back.
                self._known.clear()
            sheet = self._known[asked] = self._make(*asked)
            return sheet

    def _make(self, tenant: str, key: str, model: str, is_stream: bool) -> Sheet | None:  # noqa: FBT001 - as asked
        tenancy = self._tenants.get(tenant)
        if tenancy is None:
            return None
        found = [a for a in (tenancy.own, tenancy.keys.get(key), tenancy.users) if a is not None]
        found += [allowance for glob, allowance in tenancy.models if glob.matches(model)]
        if not found:
            return None
        return sheet_of(tenant, [a.for_key(key) for a in found], is_stream=is_stream)
