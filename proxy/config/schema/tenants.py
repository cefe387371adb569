"""Settings of tenants: who may use what, and how much of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from types import MappingProxyType
from typing import Literal
from urllib.parse import urlsplit

import orjson

from proxy.config.schema.record import Record, setting
from proxy.config.units import Address, Count, Duration, FileSecret, Money, Percent, Rate
from proxy.core.ledger import MAX_AMOUNT

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
    limits: str | None = setting("Name of limits of this key, beside the tenant's.", None)

    def __post_init__(self) -> None:
        """Exactly one of the two forms."""
        if ("sha256" in self.given) == ("file" in self.given):
            raise ValueError("a key is given by sha256 or by file")
        digits = self.sha256.lower()
        if digits and (len(digits) != 64 or set(digits) - set("0123456789abcdef")):
            raise ValueError("sha256 is 64 hexadecimal digits; `sidestream keys new` makes one")

    @property
    def shown(self) -> str:
        """Its name, or the beginning of its digest: what logs and limits call it."""
        return self.name or self.digest.hex()[:8]

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
    user_limits: str | None = setting("Name of the limits of each of its users.", None)
    model_limits: Mapping[str, str] = setting(
        "Names of limits by globs of the client's model.", factory=lambda: MappingProxyType({})
    )
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

    def limits_in_use(self) -> list[tuple[str, str]]:
        """Every entry of ``limits`` that is named here, by where it is named."""
        named = [
            (".limits", self.limits),
            (".user_limits", self.user_limits),
            *((f".model_limits.{glob}", name) for glob, name in self.model_limits.items()),
            *((f".keys[{i}].limits", key.limits) for i, key in enumerate(self.keys)),
        ]
        return [(where, name) for where, name in named if name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Jwks(Record):
    """Where an identity provider's public keys are."""

    file: FileSecret = setting("File that holds a JWK set.", FileSecret(""))
    url: str = setting("Or its URL; https, or http on this machine.", "")

    def __post_init__(self) -> None:
        """Exactly one of the two, and such that keys can come from it."""
        if ("file" in self.given) == ("url" in self.given):
            raise ValueError("give file or url")
        if "url" in self.given:
            _check_url(self.url)
        elif self.file.strip():
            _check_set(self.file.reveal())


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError as exc:
        raise ValueError("the port of a URL is at most 65535") from exc
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError("a URL of keys is like https://idp.example.com/.well-known/jwks.json")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise ValueError("a URL of keys holds no credentials and no fragment")
    if parts.scheme == "http" and not Address(parts.hostname, 0).is_loopback:
        raise ValueError("keys are fetched over https, or from this machine")


def _check_set(text: str) -> None:
    """What can be seen of a JWK set without cryptography."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as exc:
        raise ValueError("the file is not JSON") from exc
    keys = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(keys, list):
        raise ValueError("the file is no JWK set: it has no list named `keys`")  # noqa: TRY004
    kinds = [key.get("kty") for key in keys if isinstance(key, dict)]
    if not {"RSA", "EC", "OKP"}.intersection(k for k in kinds if isinstance(k, str)):
        raise ValueError("the file has no public key to check signatures with")


@dataclass(frozen=True, slots=True, kw_only=True)
class Jwt(Record):
    """Tenants from an identity provider's tokens instead of keys.

    ``tenant_claim`` is a claim's name, or a path with dots to one within
    others.  A token's ``sub`` is the user, whatever the body says.
    """

    issuer: str = setting("The `iss` that tokens must have.")
    jwks: Jwks = setting("Its public keys.")
    tenant_claim: str = setting("Claim that names the tenant.", "tenant")
    audience: str = setting("The `aud` that tokens must have; empty: any.", "")
    leeway: Duration = setting("How far clocks may be apart.", Duration(30))
    scopes: Mapping[str, tuple[str, ...]] = setting(
        "Globs of paths that each scope opens; none: the tenant's paths alone decide.",
        factory=lambda: MappingProxyType({}),
    )

    def __post_init__(self) -> None:
        """An empty name would match what is not there."""
        if not self.issuer:
            raise ValueError("issuer is empty")
        if not self.tenant_claim:
            raise ValueError("tenant_claim is empty")


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteTo(Record):
    """Sending requests over a budget to a cheaper model."""

    route_to: str = setting("Model to use instead.")


Exceeded = Literal["reject", "cache_only", "cap_output"]
By = Literal["tenant", "user", "key"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget(Record):
    """An amount of money for a time."""

    usd: Money = setting("How much.")
    per: Literal["day", "month"] = setting("For how long (UTC).")
    by: By = setting(
        "For all of the tenant, or for each user or key; who names no user shares one.", "tenant"
    )
    soft: Percent | None = setting("Share at which somebody is told.", None)
    on_soft: Literal["alert"] = setting("What happens then.", "alert")
    on_exceeded: RouteTo | Exceeded = setting("What happens when it is spent.", "reject")
    cap: Count = setting("Tokens of an answer under cap_output.", Count(256))

    def __post_init__(self) -> None:
        """A budget of nothing is a tenant that should not be there."""
        if not self.usd:
            raise ValueError("usd must be above 0")
        if not self.cap:
            raise ValueError("cap must be above 0")
        if self.usd > MAX_AMOUNT:
            raise ValueError("usd is at most nine million")


@dataclass(frozen=True, slots=True, kw_only=True)
class BurstRate(Record):
    """A rate with a burst of its own."""

    rate: Rate = setting("The rate.")
    burst: Count = setting("How many at once.")

    def __post_init__(self) -> None:
        """A burst of zero would let nothing through."""
        if not self.burst:
            raise ValueError("burst must be above 0")


_COUNTS = ("concurrency", "streams", "tokens_per_day", "tokens_per_month", "max_input_tokens",
           "max_output_tokens")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits(Record):
    """How much a tenant, a key, a user or a model may use.

    A rate lets ten seconds of itself through at once, but at least ten
    requests or one of the largest size, and never more than was given.
    """

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
        if self.max_cost_per_request == 0:
            raise ValueError("max_cost_per_request must be above 0")
        largest = max((getattr(self, n) or 0 for n in _COUNTS), default=0)
        if largest > MAX_AMOUNT or (self.max_cost_per_request or 0) > MAX_AMOUNT:
            raise ValueError("a number is beyond what can be counted exactly")
        for name in _COUNTS:
            if getattr(self, name) == 0:
                raise ValueError(f"{name} must be above 0")
        for name in ("requests", "tokens", "output_tokens"):
            value = getattr(self, name)
            rate = value.rate if isinstance(value, BurstRate) else value
            if rate is not None and not 0 < rate.amount <= MAX_AMOUNT:
                raise ValueError(f"{name} must be above 0")
