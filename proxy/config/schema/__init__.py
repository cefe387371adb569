"""The settings a user can write, as frozen dataclasses.

Field order is the order of the manual; the docstring of a class is its entry
there, and the text of a field its line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from proxy.config.schema.caches import Cache
from proxy.config.schema.content import Guard, HttpDetector, Redaction, Rule, RuleTests
from proxy.config.schema.process import Admin, Alerts, Cors, Drain, Log, Process, Store, Telemetry
from proxy.config.schema.record import Record, setting
from proxy.config.schema.routes import Match, Retry, Route, Target
from proxy.config.schema.tenants import Jwt, Key, Limits, Tenant
from proxy.config.schema.upstreams import Timeouts, Tls, Upstream
from proxy.config.units import Address, Count, Factor, Money, Percent, Secret


def _empty() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Price(Record):
    """What a model costs, in USD per million tokens."""

    input: Money = setting("Prompt tokens.")
    output: Money = setting("Answer tokens.")
    cached: Money | None = setting("Prompt tokens from the provider's cache.", None)
    audio_input: Money | None = setting("Audio tokens of the prompt.", None)
    audio_output: Money | None = setting("Audio tokens of the answer.", None)
    request: Money = setting("Each request, in USD: images, speech and the like.", Money(0))
    tiers: Mapping[str, Factor] = setting(
        "Times the price by service tier; flex and batch 0.5x, priority 2x.", factory=_empty
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Record):
    """A whole configuration.

    Only ``upstreams`` and ``routes`` are needed.  ``${NAME}`` and
    ``${NAME:-default}`` are read from the environment, ``{file: PATH}`` from a
    file, which is read again when it changes; ``$$`` is a dollar sign.  A change
    is in force from the next request on, except where it takes a restart.
    """

    version: int = setting("Version of this format: 1.", 1)
    listen: Address = setting(
        "Data plane: the OpenAI wire under /v1.", Address("127.0.0.1", 8400), restart=True
    )
    admin: Admin = setting("Admin listener.", factory=Admin)
    workers: Count = setting("Processes sharing the port.", Count(1), restart=True)
    drain: Drain = setting("Leaving.", factory=Drain)
    store: Store = setting("Counters, leases and the shared cache.", factory=Store)
    process: Process = setting("Bounds that protect the sidecar.", factory=Process)
    upstreams: Mapping[str, Upstream] = setting("Providers and model servers by name.")
    prices: Mapping[str, Price] = setting("Prices by glob of the model.", factory=_empty)
    routes: tuple[Route, ...] = setting("Ways through the proxy; the first that matches.")
    tenants: Mapping[str, Tenant] = setting("Sets of callers by name.", factory=_empty)
    jwt: Jwt | None = setting("Tenants from tokens.", None)
    limits: Mapping[str, Limits] = setting("Limits by name.", factory=_empty)
    redaction: Mapping[str, Redaction] = setting("Redactions by name.", factory=_empty)
    guards: Mapping[str, Guard] = setting("Guards by name.", factory=_empty)
    cache: Mapping[str, Cache] = setting("Caches by name.", factory=_empty)
    log: Log = setting("What is written about requests.", factory=Log)
    telemetry: Telemetry = setting("Traces.", factory=Telemetry)
    alerts: Alerts = setting("Who is told.", factory=Alerts)
    cors: Cors = setting("Browsers.", factory=Cors)

    def __post_init__(self) -> None:
        """The format, and what no server could do without."""
        if self.version != 1:
            raise ValueError("this program reads version 1")
        if not 1 <= self.workers <= 64:
            raise ValueError("workers must be between 1 and 64")
        if not self.upstreams:
            raise ValueError("upstreams is empty")
        if not self.routes:
            raise ValueError("routes is empty")


__all__ = [
    "Address", "Cache", "Guard", "HttpDetector", "Key", "Limits", "Match", "Percent", "Price",
    "Record", "Redaction", "Retry", "Route", "Rule", "RuleTests", "Secret", "Settings", "Target",
    "Tenant", "Timeouts", "Tls", "Upstream",
]  # fmt: skip
