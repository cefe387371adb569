"""Alerts on budgets: each once a window, of however many replicas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from proxy.core.alert import Alert, Alerts, Facts, Kind
from proxy.core.ledger import Claim, Ledger, Settlement, order_of
from proxy.rules.allowance import Bound

MAX_TOLD: Final = 10_000


class BudgetAlerts:
    """Tells ``alerts``; ``wall`` is the time of day in seconds."""

    def __init__(self, ledger: Ledger, alerts: Alerts, wall: Callable[[], float]) -> None:
        self._ledger = ledger
        self._alerts = alerts
        self._wall = wall
        self._told: dict[tuple[str, str, str, int], None] = {}

    async def tell_once(
        self, tenant: str, kind: Kind, bound: Bound, scope: str, reset_s: float
    ) -> None:
        """Of all replicas the one tells whose claim on telling is granted."""
        ends = round((self._wall() + reset_s) / 60)
        key = (tenant, scope, f"{kind} {bound.limit.name}", ends)
        budget = bound.budget
        if key in self._told or budget is None:
            return
        if len(self._told) >= MAX_TOLD:
            del self._told[next(iter(self._told))]
        self._told[key] = None
        first = budget.first_soft if kind == "budget_soft" else budget.first_spent
        is_known = False
        try:
            grant = await self._ledger.reserve(*order_of(tenant, (Claim(first, scope),)))
            is_known = grant.lease is not None or not grant.was_uncounted
        finally:
            if not is_known:  # whose request this was has left, or the store is away
                self._told.pop(key, None)
        if grant.lease is None:
            return
        self._ledger.settle(grant.lease, Settlement((1,)))
        what = "is spent" if kind == "budget_spent" else f"is over {budget.soft_shown} spent"
        whose = "" if bound.by == "tenant" else f", {scope.replace('/', ' ')}"
        text = f"tenant {tenant!r}{whose}: the budget of {bound.shown} {what}"
        usd = bound.limit.cap / 1e9
        facts = Facts(scope=scope, budget=bound.limit.name, usd=usd)
        self._alerts.tell(Alert(kind, tenant, text, facts))
