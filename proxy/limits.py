"""Limits of the configuration as the allowances that requests meet.

Part of the composition, beside ``compile``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from proxy.config import schema
from proxy.config.nodes import ConfigError
from proxy.config.schema import Record, Settings
from proxy.config.schema.tenants import Budget, BurstRate, RouteTo
from proxy.config.units import Rate
from proxy.core.exchange import Exchange
from proxy.core.ledger import Limit, OnFailure
from proxy.core.plan import Plan
from proxy.core.switches import Switches
from proxy.rules.allowance import (
    Allowance,
    AllowanceTable,
    Bound,
    By,
    Measure,
    Sheet,
    Tenancy,
    budget_of,
)
from proxy.rules.counters import default_burst, line_of
from proxy.rules.globs import GlobSet

LARGEST_PROMPT = 128_000
"""Tokens of the largest prompt to expect where the limits do not say."""
LARGEST_ANSWER = 16_000

_PER = {1: "second", 60: "minute", 3600: "hour", 86400: "day"}


def allowance_table(settings: Settings) -> AllowanceTable:
    """Every tenant's allowances.  Raises ``ConfigError`` for limits no store can count."""
    return AllowanceTable({name: _tenancy(settings, name) for name in settings.tenants})


def _tenancy(s: Settings, name: str) -> Tenancy:
    tenant = s.tenants[name]
    users = tenant.user_limits
    keys = {
        key.shown: _allowance(s, key.limits, "key.", "key", f"key/{key.shown}")
        for key in tenant.keys
        if key.limits
    }
    models = tuple(
        (GlobSet((glob,)), _allowance(s, limits, "model.", "model", f"model/{glob}"))
        for glob, limits in tenant.model_limits.items()
    )
    return Tenancy(
        own=_allowance(s, tenant.limits, "", "tenant", "tenant") if tenant.limits else None,
        users=_allowance(s, users, "user.", "user", "") if users else None,
        keys=keys,
        models=models,
    )


def _allowance(s: Settings, name: str, prefix: str, by: By, scope: str) -> Allowance:
    limits = s.limits[name]
    return Allowance(
        bounds=tuple(
            _Maker(
                limits, prefix, by, scope, limits.on_store_failure or s.store.on_failure
            ).bounds()
        ),
        max_input=limits.max_input_tokens,
        max_output=limits.max_output_tokens,
        max_cost=limits.max_cost_per_request,
    )


class _Maker:
    """Makes the bounds of one use of one entry of ``limits``."""

    def __init__(
        self, limits: schema.Limits, prefix: str, by: By, scope: str, on_failure: OnFailure
    ) -> None:
        self._limits = limits
        self._prefix = prefix
        self._by = by
        self._scope = scope
        self._on_failure = on_failure

    def bounds(self) -> Iterator[Bound]:
        """Rates first: they say most often how long to wait."""
        limits = self._limits
        largest = min(
            (limits.max_input_tokens or LARGEST_PROMPT)
            + (limits.max_output_tokens or LARGEST_ANSWER),
            2**40,
        )
        answer = limits.max_output_tokens or LARGEST_ANSWER
        yield from self._rate("requests", limits.requests, "requests", 0)
        yield from self._rate("tokens", limits.tokens, "tokens", largest)
        yield from self._rate("output_tokens", limits.output_tokens, "output", answer)
        yield from self._slots("concurrency", limits.concurrency, "requests at once")
        yield from self._slots("streams", limits.streams, "streams at once", for_streams=True)
        for per, cap in (("day", limits.tokens_per_day), ("month", limits.tokens_per_month)):
            if cap is not None:
                limit = Limit(
                    name=f"{self._prefix}tokens_per_{per}",
                    kind="window",
                    cap=cap,
                    per="day" if per == "day" else "month",
                    on_failure=self._on_failure,
                )
                yield self._bound(limit, "tokens", f"{cap} tokens a {per}", limits)
        for budget in limits.budgets:
            yield self._budget(budget)

    def _rate(
        self, name: str, value: Rate | BurstRate | None, measure: Measure, largest: int
    ) -> Iterator[Bound]:
        if value is None:
            return
        rate = value.rate if isinstance(value, BurstRate) else value
        burst = (
            value.burst
            if isinstance(value, BurstRate)
            else default_burst(rate.amount, rate.seconds, min(rate.amount, largest))
        )
        limit = Limit(
            name=self._prefix + name,
            kind="rate",
            cap=burst,
            amount=rate.amount,
            seconds=rate.seconds,
            on_failure=self._on_failure,
        )
        what = name.replace("_", " ")
        yield self._bound(limit, measure, f"{rate.amount} {what} a {_PER[rate.seconds]}",
                          self._limits)  # fmt: skip

    def _slots(
        self, name: str, cap: int | None, what: str, *, for_streams: bool = False
    ) -> Iterator[Bound]:
        if cap is not None:
            limit = Limit(
                name=self._prefix + name, kind="slot", cap=cap, on_failure=self._on_failure
            )
            yield Bound(
                limit=limit, by=self._by, measure="slots", shown=f"{cap} {what}",
                for_streams=for_streams, scope=self._scope,
            )  # fmt: skip

    def _budget(self, budget: Budget) -> Bound:
        limit = Limit(
            name=f"{self._prefix}budget.{budget.per}.{budget.by}",
            kind="money",
            cap=budget.usd,
            per=budget.per,
            on_failure=self._on_failure,
        )
        by: By = self._by if budget.by == "tenant" else budget.by
        action = budget.on_exceeded
        return Bound(
            limit=limit,
            by=by,
            measure="cost",
            shown=f"${budget.usd / 1e9:g} a {budget.per}",
            scope=self._scope if budget.by == "tenant" else "",
            budget=budget_of(
                limit,
                budget.soft or 0.0,
                "route_to" if isinstance(action, RouteTo) else action,
                model=action.route_to if isinstance(action, RouteTo) else "",
                most=budget.cap,
            ),
        )

    def _bound(self, limit: Limit, measure: Measure, shown: str, record: Record) -> Bound:
        try:
            line_of(limit, "tenant")
        except ValueError as exc:
            raise ConfigError([record.problem("", str(exc))]) from exc
        return Bound(limit=limit, by=self._by, measure=measure, shown=shown, scope=self._scope)


def most_of(sheet: Sheet) -> dict[str, int | float | None]:
    """What one request may take at most, in the words of the settings."""
    return {
        "max_input_tokens": sheet.max_input,
        "max_output_tokens": sheet.max_output,
        "max_cost_usd": sheet.max_cost / 1e9 if sheet.max_cost is not None else None,
    }


def leading(settings: Settings, switches: Switches) -> Callable[[Exchange, Plan], bool]:
    """Whether a budget may lead a request to another route: what redacts must be the
    same there, what guards must have been asked, and nobody may have switched it off.
    """
    routes = {route.name: route for route in settings.routes}

    def may_lead(x: Exchange, led: Plan) -> bool:
        asked, other = routes[x.asked_route], routes[led.route]
        tenant = settings.tenants.get(x.tenant)
        own = tenant.redaction if tenant is not None else None
        return (
            other.name not in switches.routes
            and (asked.redaction or own) == (other.redaction or own)
            and set(other.guards) <= set(asked.guards)
        )

    return may_lead
