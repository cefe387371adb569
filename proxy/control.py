"""What the admin API can ask and do, on the running program."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson

from proxy import __version__
from proxy.accounts import Accounts
from proxy.compile import ANONYMOUS
from proxy.config.schema import Settings
from proxy.core.ledger import Claim, order_of
from proxy.core.ports import Clock
from proxy.core.switches import What
from proxy.edge.api import Unavailable
from proxy.edge.cache_api import Known
from proxy.limits import allowance_table, most_of
from proxy.observe.log import hash_of
from proxy.rules.allowance import NOBODY, AllowanceTable
from proxy.rules.usage import Tally
from proxy.stores.pipe import StoreDown
from proxy.usage import NoLedger, as_csv, as_json, fill, moment, stored

log = logging.getLogger("sidestream")


class Steering:
    """Implements ``edge.api.Control``."""

    def __init__(self, accounts: Accounts, settings: Settings) -> None:
        self._accounts = accounts
        self._table = AllowanceTable({})
        self.settings = settings
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        """Take over a new configuration."""
        self._table = allowance_table(settings)
        self.settings = settings

    async def usage(self, query: dict[str, str]) -> bytes:
        """The billing ledger added up."""
        now = time.time()  # noqa: TID251 - asked by a person
        tally = Tally(
            [name for name in query.get("by", "tenant,model").split(",") if name],
            moment(query.get("since", "30d"), now),
            moment(query["until"], now) if query.get("until") else float("inf"),
            {"tenant": query["tenant"]} if query.get("tenant") else {},
        )
        try:
            if self.settings.store.is_memory:
                self._accounts.sweep()
                await asyncio.to_thread(fill, tally, None, self.settings)
            else:
                for tenant in self.settings.tenants:
                    async for row in stored(self._accounts.rows, tenant):
                        tally.add(*row)
        except NoLedger as exc:
            raise Unavailable(str(exc)) from exc
        except StoreDown as exc:
            raise Unavailable("the store does not answer just now") from exc
        if query.get("format") == "csv":
            return as_csv(tally).encode()
        return orjson.dumps(as_json(tally))

    async def limits(self, tenant: str, query: dict[str, str]) -> dict[str, Any]:
        """What is left of each limit that such a request would meet."""
        if tenant not in self.settings.tenants:
            raise LookupError(f"no tenant is named {tenant[:100]!r}")
        key, model, user = query.get("key", ""), query.get("model", ""), query.get("user", "")
        sheet = self._table.find(tenant, key, model, is_stream=True)
        if sheet is None or not sheet.bounds:
            return {"tenant": tenant, "limits": []}
        scope = f"user/{hash_of(user) if user else NOBODY}"
        claims = tuple(
            Claim(bound.limit, scope if bound.by == "user" else bound.scope, 0)
            for bound in sheet.bounds
        )
        grant = await self._accounts.ledger.peek(*order_of(tenant, claims))
        if len(grant.remaining) != len(claims):
            raise Unavailable("the store does not answer just now")
        rows = [
            {
                "limit": bound.limit.name,
                "of": claim.scope,
                "shown": bound.shown,
                "at_once" if bound.limit.kind in ("rate", "slot") else "cap": _unit(
                    bound.measure, bound.limit.cap
                ),
                "remaining": _unit(bound.measure, remaining),
                "whole_in_s": reset,
                "on_store_failure": bound.limit.on_failure,
            }
            for bound, claim, remaining, reset in zip(
                sheet.bounds, claims, grant.remaining, grant.reset_s, strict=True
            )
        ]
        return {"tenant": tenant, "limits": rows, **most_of(sheet)}

    def switched_off(self) -> list[str]:
        """What an operator has switched off."""
        return self._accounts.switches.words()

    async def switch(self, what: What, name: str, *, is_off: bool) -> None:
        """Switch a tenant or a route off or on."""
        known = (
            set(self.settings.tenants)
            if what == "tenant"
            else {route.name for route in self.settings.routes}
        )
        # Whatever is off can be switched on, even if nothing has its name any more.
        if name not in known and (is_off or f"{what}:{name}" not in self.switched_off()):
            raise LookupError(f"no {what} is named {name[:100]!r}")
        try:
            await self._accounts.switch(what, name, is_off=is_off)
        except StoreDown as exc:
            raise Unavailable("the store does not answer just now; nothing was switched") from exc
        log.warning("%s %r was switched %s by an operator", what, name, "off" if is_off else "on")


def _unit(measure: str, amount: int) -> float | int:
    return amount / 1e9 if measure == "cost" else amount


def known_in(settings: Settings) -> Known:
    """What may be named to the caches' API."""
    return Known(
        tenants=frozenset(settings.tenants) or frozenset((ANONYMOUS,)),
        routes=frozenset(route.name for route in settings.routes),
        has_global=any(cache.scope == "global" for cache in settings.cache.values()),
    )


def dated(status: Callable[[], dict[str, Any]], clock: Clock) -> Callable[[], dict[str, Any]]:
    """``status`` after what is told of the process itself: its build, and since when it runs."""
    since = clock.now()
    started = datetime.fromtimestamp(clock.wall(), UTC).isoformat(timespec="seconds")

    def told() -> dict[str, Any]:
        about = {"version": __version__, "started_at": started}
        return {**about, "uptime_s": int(clock.now() - since), **status()}

    return told
