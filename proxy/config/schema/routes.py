"""Settings of routes: what they match and where they lead."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Literal

from proxy.config.schema.record import Record, setting
from proxy.config.units import Comparison, Count, Factor, Percent

_CAUSE = re.compile(r"connect|reset|timeout|[45]xx|[45]\d\d")


def _none() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Match(Record):
    """What a request must be like.  All that is given must fit."""

    model: tuple[str, ...] = setting("Globs of the client's model.", ())
    path: tuple[str, ...] = setting("Globs of the path.", ())
    tenant: tuple[str, ...] = setting("Globs of the tenant.", ())
    tags: Mapping[str, str] = setting("Globs of the tenant's tags.", factory=_none)
    headers: Mapping[str, str] = setting("Globs of request headers.", factory=_none)
    input_tokens: Comparison | None = setting("Estimated tokens of the prompt.", None)
    stream: bool | None = setting("Whether a stream is asked for.", None)
    tools: bool | None = setting("Whether tools are offered.", None)
    images: bool | None = setting("Whether there are images.", None)

    def admits(self, tenant: str) -> bool:
        """Whether a tenant of that name may meet the route."""
        return not self.tenant or any(fnmatchcase(tenant, glob) for glob in self.tenant)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target(Record):
    """One upstream and the model to ask for there."""

    upstream: str = setting("Name of the upstream.")
    model: str = setting("Model to name; by default the client's.", "")
    weight: Count = setting("Share of the split.", Count(1))
    name: str = setting("Name in logs and headers; by default upstream/model.", "")

    @property
    def shown(self) -> str:
        """The name that people see."""
        return self.name or (f"{self.upstream}/{self.model}" if self.model else self.upstream)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry(Record):
    """When to try again, before the first byte of an answer was sent on."""

    attempts: Count = setting("Tries at one target, the first included.", Count(2))
    on: tuple[str, ...] = setting(
        "connect, reset, timeout, statuses, or classes like 5xx.",
        ("connect", "reset", "timeout", "408", "409", "429", "5xx"),
    )
    budget: Percent = setting("Share of requests that may be retried.", Percent(0.2))

    def __post_init__(self) -> None:
        """Causes must be ones that can happen."""
        if not 1 <= self.attempts <= 10:
            raise ValueError("attempts must be between 1 and 10")
        for cause in self.on:
            if not _CAUSE.fullmatch(cause):
                raise ValueError(f"{cause!r} is not connect, reset, timeout, 429, 5xx or the like")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hedge(Record):
    """A second request when the first is slow."""

    after: str = setting("A duration, or p95 and the like.")
    max: Percent = setting("Share of requests at most.", Percent(0.02))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadow(Record):
    """A copy sent elsewhere to compare, without delaying the client."""

    upstream: str = setting("Name of the upstream.")
    model: str = setting("Model to name there.", "")
    sample: Percent = setting("Share of requests to copy.", Percent(0.01))


@dataclass(frozen=True, slots=True, kw_only=True)
class When(Record):
    """When a canary is taken out."""

    error_ratio: Factor = setting("Times the others' share of errors.", Factor(2))
    over: Count = setting("Requests to judge by.", Count(100))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback(Record):
    """Taking a target out of the split by itself."""

    target: str = setting("Name of the target to watch.")
    when: When = setting("When.", factory=When)


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalate(Record):
    """Asking a better model when an unstreamed answer is not good enough."""

    when: tuple[Literal["invalid_json", "refusal", "finish_length", "guard_flag"], ...] = setting(
        "What is not good enough."
    )
    to: Target = setting("Whom to ask then.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route(Record):
    """One way through the proxy.  The first route that matches is taken."""

    name: str = setting("Its name in logs, metrics and headers.")
    match: Match = setting("What requests it takes; by default all.", factory=Match)
    targets: tuple[Target, ...] = setting("Where it leads; several make a split.")
    split_by: str = setting(
        "What a split is sticky by: tenant, user, header:NAME, joined by +.", "tenant+user"
    )
    fallback: tuple[Target, ...] = setting("Whom to ask in turn when the target fails.", ())
    retry: Retry = setting("When to try again.", factory=Retry)
    hedge: Hedge | None = setting("A second request when the first is slow.", None)
    shadow: Shadow | None = setting("Copies to compare.", None)
    rollback: Rollback | None = setting("Taking a canary out by itself.", None)
    escalate: Escalate | None = setting("Asking a better model.", None)
    overflow: Literal["truncate_middle", "summarise", "route", "reject"] | None = setting(
        "What happens to prompts over max_input_tokens.", None
    )
    on_exhausted: Literal["error", "stale"] = setting(
        "When all targets fail: an error, or an expired cached answer.", "error"
    )
    cache: str | None = setting("Name of the cache for its answers.", None)
    guards: tuple[str, ...] = setting("Names of the guards it goes through.", ())
    redaction: str | None = setting("Name of the redaction, in place of the tenant's.", None)

    def __post_init__(self) -> None:
        """A route must lead somewhere and be nameable in a header."""
        if not self.targets:
            raise ValueError("a route needs at least one target")
        for part in self.split_by.split("+"):
            if part not in ("tenant", "user") and not part.startswith("header:"):
                raise ValueError(f"split_by: {part!r} is not tenant, user or header:NAME")
        if len(self.targets) > 1 and not any(t.weight for t in self.targets):
            raise ValueError("all weights are 0, so nothing could be chosen")

    def asked(self) -> tuple[Target, ...]:
        """Everyone whom it may ask, in whatever case."""
        more = (self.escalate.to,) if self.escalate is not None else ()
        return (*self.targets, *self.fallback, *more)
