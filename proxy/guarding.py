"""What the stages that judge stand on: made for each configuration, and what
of it outlives a reload: connections to judges, verdicts, counts.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from proxy.compile_guards import guards_of, panel_of, shipped_packs, toolboxes_of
from proxy.config.schema import Settings
from proxy.core.judging import Verdict
from proxy.core.ports import Clock
from proxy.judges.panel import Client, Panel
from proxy.observe.guards import GuardCounts
from proxy.observe.metrics import Metrics
from proxy.rules.guards import Guard
from proxy.rules.toolbox import Toolbox
from proxy.rules.verdicts import Verdicts
from proxy.upstream.fleet import Spec


@dataclass(frozen=True, slots=True)
class Guards:
    """The guards of each route, the tools of each tenant, and whom to ask."""

    requests: Mapping[str, tuple[Guard, ...]]
    answers: Mapping[str, tuple[Guard, ...]]
    toolboxes: Mapping[str, Toolbox]
    panel: Panel


class Guarding:
    """Makes ``Guards`` of settings, and holds what they share."""

    def __init__(self, clock: Clock, metrics: Metrics) -> None:
        self._clock = clock
        self._packs = shipped_packs()
        self._client = Client()
        self._counts = GuardCounts()
        self.verdicts = Verdicts(secrets.token_bytes(32), clock.now)
        metrics.include(self._counts.collect)

    def made(self, settings: Settings, specs: Mapping[str, Spec]) -> Guards:
        """The guards of a configuration."""
        requests, answers = guards_of(settings, self._packs)
        panel = panel_of(settings, specs, self._client, self._clock.now)
        return Guards(requests, answers, toolboxes_of(settings), panel)

    def count(self, guard: Guard, verdict: Verdict) -> None:
        """Add a verdict to the counts."""
        self._counts.add(guard.name, guard.action, verdict.word)

    async def rest(self) -> None:
        """Let others have a turn."""
        await asyncio.sleep(0)

    async def close(self) -> None:
        """Let go of judges, and of what nobody waits for."""
        await self._client.close()
