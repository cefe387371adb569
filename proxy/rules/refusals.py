"""What a client is told that is over a limit, and when it may come back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from proxy.core.errors import (
    BudgetSpent,
    ProxyError,
    RateLimited,
    RequestTooDear,
    TokensLimited,
)
from proxy.rules.allowance import Bound

SLOT_TIMES: Final = 1.25
"""Of a request's time, how long to wait for a slot: an SDK asks twice more, and
then gives up, so it should not ask too soon."""
MIN_WAIT_S: Final = 0.1
MAX_WAIT_S: Final = 10.0


def refusal(
    tenant: str, bound: Bound, wait_s: float | None, lasted_s: float, wall: float
) -> ProxyError:
    """The error for a request that ``bound`` stops for ``wait_s`` (``None``: always).

    ``lasted_s`` is how long the tenant's requests take, ``wall`` the time now.
    """
    whose = "" if bound.by == "tenant" else f" of this {bound.by}"
    limit = f"tenant {tenant!r}: the limit{whose} of {bound.shown}"
    if bound.measure == "cost":
        return _money(limit, wait_s, wall)
    kind = TokensLimited if bound.measure in ("tokens", "output") else RateLimited
    if bound.measure == "slots":
        wait = min(max(SLOT_TIMES * lasted_s, MIN_WAIT_S), MAX_WAIT_S)
        return kind(f"{limit} is in use; try again soon", retry_after=wait)
    if wait_s is None:
        return kind(
            f"{limit} can never let a request of this size pass (at most {bound.limit.cap} at "
            "once); make it smaller, or say max_tokens"
        )
    return kind(f"{limit} is reached; try again in {shown(wait_s)}", retry_after=wait_s)


def _money(limit: str, wait_s: float | None, wall: float) -> ProxyError:
    if wait_s is None:
        return RequestTooDear(f"{limit} is less than this request alone could cost")
    until = datetime.fromtimestamp(wall + wait_s, UTC)
    return BudgetSpent(
        f"{limit} leaves too little for this request until {until:%Y-%m-%d %H:%M} UTC",
        retry_after=wait_s,
    )


def shown(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
