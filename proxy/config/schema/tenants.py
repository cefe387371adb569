"""Settings of tenants: who may use what, and how much of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from types import MappingProxyType
from typing import Literal

from proxy.config.schema.record import Record, setting
from proxy.config.units import Count, Duration, FileSecret, Money, Percent, Rate

OnFailure = Literal["open", "closed", "local"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Key(Record):
    """One key of a tenant, by its digest or in a file that is read again when
    it changes.
    """

    sha256: str = setting("Digest of the key, 64 hexadecimal digits.", "")
    file: FileSecret = setting("File that holds the key.", FileSecret(""))
    expires: date | None = setting("First day (UTC) on which it is refused.", None)
    name: str = setting("Its name in logs.", "")

    def __post_init__(self) -> None:
        """Exactly one of the two forms."""
        if ("sha256" in self.given) == ("file" in self.given):
            raise ValueError("a key is given by sha256 or by file")
        digits = self.sha256.lower()
        if digits and (len(digits) != 64 or set(digits) - set("0123456789abcdef")):
            raise ValueError("sha256 is 64 hexadecimal digits; `sidestream keys new` makes one")

    @property
    def digest(self) -> bytes:
        """The digest, 32 bytes; nothing while the file is not there."""
        if self.sha256:
            return bytes.fromhex(self.sha256)
        if not self.file.strip():
            return b""
        return sha256(self.file.reveal().strip().encode()).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools(Record):
    """Which tools a tenant's requests may offer, and the model may call."""

    allow: tuple[str, ...] = setting("Globs of tool names.", ("*",))
    max_calls: Count | None = setting("Calls in one answer.", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant(Record):
    """One set of callers.

    Without ``models`` every model that a route serves is allowed; without
    ``paths`` every path that is no way around policy.
    """

    keys: tuple[Key, ...] = setting("Keys that name this tenant.", ())
    anonymous: bool = setting("Serve callers without a key; loopback only.", default=False)
    models: tuple[str, ...] = setting("Globs of models it may use.", ())
    paths: tuple[str, ...] = setting("Globs of paths it may use.", ())
    limits: str | None = setting("Name of its limits.", None)
    redaction: str | None = setting("Name of its redaction.", None)
    priority: Literal["interactive", "batch", "internal"] = setting(
        "Who goes first at a contended upstream.", "interactive"
    )
    weight: Count = setting("Share of a contended upstream.", Count(1))
    regions: tuple[str, ...] = setting("Regions its requests may reach; none: all.", ())
    tools: Tools | None = setting("Which tools it may use.", None)
    tags: Mapping[str, str] = setting(
        "Words for routes and logs.", factory=lambda: MappingProxyType({})
    )

    def __post_init__(self) -> None:
        """A tenant without a share would wait forever."""
        if self.weight == 0:
            raise ValueError("weight must be above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Jwks(Record):
    """Where an identity provider's public keys are."""

    file: str = setting("A file.", "")
    url: str = setting("Or a URL.", "")

    def __post_init__(self) -> None:
        """Exactly one of the two."""
        if bool(self.file) == bool(self.url):
            raise ValueError("give file or url")


@dataclass(frozen=True, slots=True, kw_only=True)
class Jwt(Record):
    """Tenants from an identity provider's tokens instead of keys."""

    issuer: str = setting("The `iss` that tokens must have.")
    jwks: Jwks = setting("Its public keys.")
    tenant_claim: str = setting("Claim that names the tenant.", "tenant")
    audience: str = setting("The `aud` that tokens must have; empty: any.", "")
    leeway: Duration = setting("How far clocks may be apart.", Duration(30))
    scopes: Mapping[str, tuple[str, ...]] = setting(
        "Paths that each scope opens.", factory=lambda: MappingProxyType({})
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteTo(Record):
    """Sending requests over a budget to a cheaper model."""

    route_to: str = setting("Model to use instead.")


Exceeded = Literal["reject", "cache_only", "cap_output"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget(Record):
    """An amount of money for a time."""

    usd: Money = setting("How much.")
    per: Literal["day", "month"] = setting("For how long (UTC).")
    by: Literal["tenant", "user", "key"] = setting("For whom.", "tenant")
    soft: Percent | None = setting("Share at which somebody is told.", None)
    on_soft: Literal["alert"] = setting("What happens then.", "alert")
    on_exceeded: RouteTo | Exceeded = setting("What happens when it is spent.", "reject")


@dataclass(frozen=True, slots=True, kw_only=True)
class BurstRate(Record):
    """A rate with a burst of its own."""

    rate: Rate = setting("The rate.")
    burst: Count = setting("How many at once.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits(Record):
    """How much a tenant may use."""

    requests: Rate | BurstRate | None = setting("Requests.", None)
    tokens: Rate | BurstRate | None = setting("Input and output tokens.", None)
    output_tokens: Rate | BurstRate | None = setting("Output tokens.", None)
    concurrency: Count | None = setting("Requests at once.", None)
    streams: Count | None = setting("Streams at once.", None)
    tokens_per_day: Count | None = setting("Tokens a day (UTC).", None)
    tokens_per_month: Count | None = setting("Tokens a month (UTC).", None)
    max_input_tokens: Count | None = setting("Tokens of one prompt.", None)
    max_output_tokens: Count | None = setting("Lowers the client's max_tokens, or sets it.", None)
    max_cost_per_request: Money | None = setting("Dollars for one request.", None)
    budgets: tuple[Budget, ...] = setting("Money for a time.", ())
    on_store_failure: OnFailure | None = setting("When the store is down.", None)

    def __post_init__(self) -> None:
        """A limit of zero is a tenant that should not be there."""
        for name in ("concurrency", "streams", "tokens_per_day", "tokens_per_month",
                     "max_input_tokens", "max_output_tokens"):  # fmt: skip
            if getattr(self, name) == 0:
                raise ValueError(f"{name} must be above 0")
        for name in ("requests", "tokens", "output_tokens"):
            value = getattr(self, name)
            rate = value.rate if isinstance(value, BurstRate) else value
            if rate is not None and rate.amount == 0:
                raise ValueError(f"{name} must be above 0")
