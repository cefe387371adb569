"""The kill switch: refuses what an operator has switched off."""

from __future__ import annotations

from proxy.core.errors import Disabled
from proxy.core.exchange import Exchange
from proxy.core.policy import Answer, Policy
from proxy.core.switches import Switches


class SwitchPolicy(Policy):
    """Asks the switches; they are empty nearly always."""

    name = "switch"

    def __init__(self, switches: Switches) -> None:
        self._switches = switches

    async def on_request(self, x: Exchange) -> Answer | None:
        """403 for a tenant or a route that is off."""
        switches = self._switches
        if x.tenant in switches.tenants:
            raise Disabled(f"tenant {x.tenant!r} was switched off by an operator of this proxy")
        if x.route in switches.routes:
            raise Disabled(f"route {x.route!r} was switched off by an operator of this proxy")
        return None
