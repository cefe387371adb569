"""What budgets need: prices for every model they may meet, and somewhere to go."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase

from proxy.config.nodes import Problem
from proxy.config.schema import Record, Route, Settings
from proxy.config.schema.tenants import Budget, RouteTo

HasPrice = Callable[[str], bool]


def money(s: Settings, has_price: HasPrice) -> Iterator[Problem]:
    """Problems with budgets and bounds in dollars."""
    used = {name for tenant in s.tenants.values() for _, name in tenant.limits_in_use()}
    priced = {
        name
        for name, limits in s.limits.items()
        if limits.budgets or limits.max_cost_per_request is not None
    }
    if used & priced:
        yield from _prices(s, has_price)
    for limits in s.limits.values():
        seen: dict[tuple[str, str], Budget] = {}
        for budget in limits.budgets:
            first = seen.setdefault((budget.per, budget.by), budget)
            if first is not budget:
                what = f"a budget per {budget.per} by {budget.by}"
                yield budget.problem("", f"{what} is given already, in line {first.place.line}")
            action = budget.on_exceeded
            if isinstance(action, RouteTo):
                yield from _led(s, action, has_price)


def _prices(s: Settings, has_price: HasPrice) -> Iterator[Problem]:
    """A budget in dollars over a model of unknown price would never be spent."""
    for route in s.routes:
        for target in route.asked():
            if target.model:
                yield from _unpriced(s, has_price, target.model, target, ".model")


def _led(s: Settings, action: RouteTo, has_price: HasPrice) -> Iterator[Problem]:
    """What requests are led to must be served by a route, and have a price."""
    model = action.route_to
    route = next((r for r in s.routes if _may_serve(r, model)), None)
    if route is None:
        yield action.problem(".route_to", f"no route serves the model {model!r}")
        return
    for target in route.targets:
        if not target.model:
            yield from _unpriced(s, has_price, model, action, ".route_to")


def _may_serve(route: Route, model: str) -> bool:
    globs = route.match.model
    return not globs or any(fnmatchcase(model, glob) for glob in globs)


def _unpriced(
    s: Settings, has_price: HasPrice, model: str, at: Record, path: str
) -> Iterator[Problem]:
    if not has_price(model) and not any(fnmatchcase(model, pattern) for pattern in s.prices):
        why = f"{model!r} has no price, but there are budgets in USD; add it to `prices`"
        yield at.problem(path, why)
