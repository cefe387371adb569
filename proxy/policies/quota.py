"""Limits and budgets: reserve before, settle after, exactly once.

All that a request may take is asked of the ledger in one step, with what it
will probably use; when it ends, what it really used takes the estimate's place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from proxy.core.alert import Alerts
from proxy.core.errors import LimitsDown, PriceUnknown
from proxy.core.exchange import End, Exchange, Head, Usage
from proxy.core.ledger import Grant, Ledger, Limit, Order, Settlement
from proxy.core.plan import Plan
from proxy.core.policy import Answer, Policy, StreamHalf
from proxy.core.ports import Clock
from proxy.observe.billing import record_of
from proxy.observe.log import hash_of
from proxy.rules.allowance import (
    NOBODY,
    AllowanceTable,
    Amounts,
    Bound,
    Budget,
    Sheet,
    relaxed,
)
from proxy.rules.budget_alerts import BudgetAlerts
from proxy.rules.estimate import Learned, sizes_of
from proxy.rules.prices import FREE, Price, plain_nanos
from proxy.rules.refusals import refusal
from proxy.rules.spending import GENERATES, to_reserve, used_by
from proxy.wire.ratelimits import limit_headers, without_limits
from proxy.wire.tokens import prompt_of

NEARLY_NOTHING: Final = 0.05
"""Share of a budget that is left where it is told as spent; one large request says nothing."""
NOTHING_USED: Final = Settlement((0,) * len(Amounts._fields))


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What the policy works with.

    ``has_ledger``: rows of the billing ledger are kept.  ``replan`` plans the same
    request for another model, ``may_lead`` says whether what one route has judged
    may go another way, ``price`` sets an exchange's cost from its usage,
    ``refused`` counts a refusal by tenant and limit.
    """

    ledger: Ledger
    has_ledger: bool
    alerts: Alerts
    clock: Clock
    find_price: Callable[[str], Price | None]
    price: Callable[[Exchange], None]
    replan: Callable[[Exchange, str], Plan]
    may_lead: Callable[[Exchange, Plan], bool]
    refused: Callable[[str, str], None]


class _Taken:
    """What an exchange has reserved."""

    __slots__ = ("lease", "sheet", "spent")

    def __init__(self, sheet: Sheet) -> None:
        self.sheet = sheet
        self.lease: str | None = None
        self.spent: tuple[Limit, ...] = ()


class QuotaPolicy(Policy):
    """Holds every limit of tenant, key, user and model at once."""

    name = "quota"

    def __init__(self, table: AllowanceTable, means: Means) -> None:
        self._table = table
        self._means = means
        self._ledger = means.ledger
        self._wall = means.clock.wall
        self._now = means.clock.now
        self._lasts: dict[str, float] = {}
        self._budgets = BudgetAlerts(means.ledger, means.alerts, means.clock.wall)

    @property
    def is_idle(self) -> bool:
        """Whether nobody has limits and nobody reads a ledger."""
        return self._table.is_empty and not self._means.has_ledger

    async def on_request(self, x: Exchange) -> Answer | None:
        """Reserve, or refuse with when to come back."""
        sheet = self._table.find(x.tenant, x.key_name, x.model, is_stream=x.stream)
        if sheet is None or not sheet.bounds:
            return None
        taken = x.reserved = _Taken(sheet)
        while True:
            sheet = taken.sheet
            order = sheet.order or sheet.orders.get(x.user) or _order_for(sheet, x.user)
            prompt, completion = to_reserve(x)
            cost = self._cost(x, prompt, completion) if sheet.needs_cost else 0
            record = b""
            if self._ledger.keeps_estimates:
                estimate = Usage(prompt, completion, estimated=True)
                record = record_of(x, estimate, cost, self._wall())
            amounts = (1, prompt + completion, completion, 1, cost)
            grant = await self._ledger.reserve(order, amounts, record)
            if grant.lease is not None:
                break
            await self._denied(x, taken, order, grant)
        taken.lease, _, _, remaining, reset_s, is_local, was_uncounted = grant
        if is_local or was_uncounted:
            x.notes["limits"] = "local" if is_local else "uncounted"
            return None
        x.answer_headers += limit_headers(sheet.told, sheet.shown, remaining, reset_s)
        for at, left in sheet.soft:
            if remaining[at] <= left:
                bound, scope = sheet.bounds[at], order.spots[at][1]
                await self._budgets.tell_once(x.tenant, "budget_soft", bound, scope, reset_s[at])
        return None

    def _cost(self, x: Exchange, prompt: int, completion: int) -> int:
        """What tokens are going to cost, in nano-dollars."""
        if x.method != "POST" or x.endpoint.name in FREE:
            return 0
        billed = x.billed
        price = self._means.find_price(billed) if billed else None
        if price is None:
            raise PriceUnknown(
                f"the model {billed[:100]!r} has no price, and tenant {x.tenant!r} has a "
                "budget in dollars; add it to `prices`"
            )
        if not x.endpoint.is_metered and not price.request:
            raise PriceUnknown(
                f"{x.path[:100]} reports no tokens, and tenant {x.tenant!r} has a budget in "
                f"dollars; give {billed[:100]!r} a price a `request` in `prices`"
            )
        return plain_nanos(price, prompt, completion)

    async def _denied(self, x: Exchange, taken: _Taken, order: Order, grant: Grant) -> None:
        """Raise, or change the request so that it may be asked for again."""
        at = grant.denied
        assert at is not None
        sheet, bound = taken.sheet, taken.sheet.bounds[at]
        if grant.was_uncounted and not grant.is_local:
            self._means.refused(x.tenant, bound.limit.name)
            raise LimitsDown(
                "limits cannot be checked just now; try again", retry_after=grant.wait_s or 1.0
            )
        if grant.wait_s is None and self._shrink(x, bound):
            return
        budget = bound.budget
        if budget is not None and grant.wait_s is not None:
            if grant.remaining[at] <= bound.limit.cap * NEARLY_NOTHING:
                scope = order.spots[at][1]
                reset_s = grant.reset_s[at]
                await self._budgets.tell_once(x.tenant, "budget_spent", bound, scope, reset_s)
            sheet = self._degraded(x, taken, budget, grant)
            # Its money is spent, but what follows is still counted.
            x.is_altered = x.held is None
            taken.spent += (bound.limit,)
            taken.sheet = relaxed(sheet, taken.spent)
            x.notes["budget"] = f"{bound.limit.name}: {budget.action}"
            return
        self._refuse(x, sheet, grant)

    def _degraded(self, x: Exchange, taken: _Taken, budget: Budget, grant: Grant) -> Sheet:
        """Make less of the request, as its budget says, or refuse it; what holds then."""
        if budget.action == "cap_output":
            if x.endpoint.name in GENERATES:
                x.max_output = min(budget.most, x.max_output or budget.most)
        elif budget.action == "route_to":
            if x.model != budget.model:
                led = self._means.replan(x, budget.model)
                if not self._means.may_lead(x, led):
                    # Stages in front have judged it by rules that do not hold there.
                    self._refuse(x, taken.sheet, grant)
                x.plan = led
                return self._sheet_of(x, budget.model, taken)
        elif budget.action != "cache_only" or x.held is None:
            self._refuse(x, taken.sheet, grant)
        return taken.sheet

    def _sheet_of(self, x: Exchange, model: str, taken: _Taken) -> Sheet:
        """What holds for the model that a budget leads to."""
        found = self._table.find(x.tenant, x.key_name, model, is_stream=x.stream)
        return found if found is not None else taken.sheet

    def _shrink(self, x: Exchange, bound: Bound) -> bool:
        """Where only our guess at the answer can never pass, reserve less for it.

        What it uses beyond becomes debt; refused, it would never be learned.
        """
        estimate = x.estimate
        if estimate is None or x.is_bounded or bound.measure not in ("tokens", "output"):
            return False
        prompt = max(x.prompt_most, estimate.prompt) if bound.measure == "tokens" else 0
        room = min(bound.limit.cap // 4, bound.limit.cap - prompt)
        if room < 1 or room >= estimate.completion:
            return False
        x.estimate = replace(estimate, completion=room)
        return True

    def _refuse(self, x: Exchange, sheet: Sheet, grant: Grant) -> None:
        assert grant.denied is not None
        bound = sheet.bounds[grant.denied]
        if not grant.is_local:
            left = (grant.remaining, grant.reset_s)
            x.answer_headers += limit_headers(sheet.told, sheet.shown, *left)
        self._means.refused(x.tenant, bound.limit.name)
        lasted = self._lasts.get(x.tenant, 1.0)
        raise refusal(x.tenant, bound, grant.wait_s, lasted, self._wall())

    def on_response(self, x: Exchange, head: Head) -> StreamHalf | None:
        """The upstream's own limits are not the tenant's."""
        if x.reserved is not None:
            head.headers = without_limits(head.headers)
        return None

    def on_end(self, x: Exchange, end: End) -> None:
        """Settle on what was used, or give everything back."""
        taken = x.reserved
        if taken is None:
            if x.attempts and self._ledger.keeps_rows:
                if x.usage is None:
                    x.estimate = x.estimate or _unmeasured(x)
                self._ledger.note(x.tenant, self._record(x, end, used_by(x, end) or Usage()))
            return
        if not taken.lease:
            return
        used = used_by(x, end)
        if used is None:
            self._ledger.settle(taken.lease, NOTHING_USED)
            return
        record = self._record(x, end, used)
        completion = used.completion
        actual = (1, used.prompt + completion, completion, 1, x.cost_nanos or 0)
        self._ledger.settle(taken.lease, Settlement(actual, record))
        if end.kind == "complete":
            lasted = self._now() - x.started
            self._lasts[x.tenant] = 0.8 * self._lasts.get(x.tenant, lasted) + 0.2 * lasted

    def _record(self, x: Exchange, end: End, used: Usage) -> bytes:
        if x.usage is None and (used.prompt or used.completion):
            x.usage = used
            self._means.price(x)
        if x.cost_nanos is None and 0 < x.upstream_status < 400 and x.model:
            # It has no tokens, but may have a price a request.
            price = self._means.find_price(x.billed)
            x.cost_nanos = price.request if price is not None and price.request else None
        if not self._ledger.keeps_rows:
            return b""
        return record_of(x, used, x.cost_nanos or 0, self._wall(), end.kind)


def _unmeasured(x: Exchange) -> Usage | None:
    """The prompt of a request that no limit has had measured."""
    if x.body is None or not x.endpoint.is_metered:
        return None
    return Usage(Learned().prompt(sizes_of(*prompt_of(x.body)))[0], 0, estimated=True)


def _order_for(sheet: Sheet, user: str) -> Order:
    return sheet.order_for(user, f"user/{hash_of(user) if user else NOBODY}")
