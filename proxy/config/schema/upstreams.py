"""Settings of upstreams: where they are, how they are reached and watched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal
from urllib.parse import urlsplit

from proxy.config.schema.record import Record, setting
from proxy.config.units import Count, Duration, Percent, Secret, WrongSetting

Kind = Literal[
    "openai", "azure", "anthropic", "gemini", "mistral", "groq", "openrouter", "vllm", "ollama",
    "generic",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts(Record):
    """How long to wait for what."""

    connect: Duration = setting("For a connection.", Duration(2))
    first_token: Duration = setting("From request to first content.", Duration(60))
    idle: Duration = setting("Between two contents of a stream.", Duration(60))
    total: Duration = setting("For all attempts and the whole answer.", Duration(600))


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker(Record):
    """When an endpoint is left alone for a while."""

    consecutive: Count = setting("Failures in a row.", Count(5))
    ratio: Percent = setting("Or this share of at least 20 in the window.", Percent(0.5))
    window: Duration = setting("The window.", Duration(30))
    open: Duration = setting("How long at first; doubles each time.", Duration(5))
    max_open: Duration = setting("How long at most.", Duration(120))


@dataclass(frozen=True, slots=True, kw_only=True)
class Health(Record):
    """Probing endpoints."""

    path: str = setting("Path to GET.", "/health")
    every: Duration = setting("How often.", Duration(5))
    metrics: bool = setting("Poll the endpoint's /metrics too.", default=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Concurrency(Record):
    """How much an upstream is given at once, and who waits how.

    Who waits is served by priority, and tenants of one priority by the tokens
    they were given for their weight.  Several workers divide the numbers.
    """

    max: Count = setting("Requests at once.")
    adaptive: bool = setting("Move the bound by what the upstream bears.", default=False)
    queue: Count = setting("Requests that may wait.", Count(256))
    queue_timeout: Duration = setting("How long they may wait.", Duration(5))

    def __post_init__(self) -> None:
        """An upstream of no requests is one that should not be there."""
        if self.max == 0:
            raise ValueError("max must be above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls(Record):
    """TLS towards the upstream, where the system's trust is not enough."""

    ca: str = setting("PEM file of the authority to trust.", "")
    cert: str = setting("PEM file of our certificate.", "")
    key: str = setting("PEM file of its key.", "")
    verify: bool = setting("Check the upstream's certificate.", default=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream(Record):
    """One provider, or a group of endpoints that serve the same models.

    ``base_url`` ends where an SDK's base URL would, mostly in ``/v1``.
    ``passthrough`` sends the client's own key on and none of ours.
    """

    kind: Kind = setting("Which provider's ways to follow.", "openai")
    base_url: str = setting("Base URL; by default the provider's own.", "")
    endpoints: tuple[str, ...] = setting("Several base URLs in the place of one.", ())
    api_key: Secret = setting("Our key there.", Secret(""))
    passthrough: bool = setting("Send the client's key instead of ours.", default=False)
    headers: Mapping[str, str] = setting(
        "Fixed headers to send.", factory=lambda: MappingProxyType({})
    )
    organization: str = setting("OpenAI organisation to bill.", "")
    project: str = setting("OpenAI project to bill.", "")
    api_version: str = setting("Azure's api-version, for deployment URLs.", "")
    ask_usage: bool | None = setting(
        "Ask streams for usage where the client did not; by default as the kind can.", None
    )
    timeouts: Timeouts = setting("How long to wait for what.", factory=Timeouts)
    max_connections: Count = setting("Connections to each endpoint; 0: no bound.", Count(0))
    tls: Tls | None = setting("TLS beyond the system's defaults.", None)
    region: str = setting("Where it is, for tenants bound to regions.", "")
    balance: Literal["round_robin", "least_busy", "prefix_affinity", "session"] = setting(
        "How an endpoint is chosen.", "round_robin"
    )
    breaker: Breaker | None = setting("When an endpoint is left alone.", None)
    pace: bool = setting("Learn the provider's limits and keep to them.", default=False)
    health: Health | None = setting("Probing of endpoints.", None)
    concurrency: Concurrency | None = setting("A bound with a fair queue.", None)
    resume: bool = setting("Continue broken streams on the same model (vLLM).", default=False)

    def __post_init__(self) -> None:
        """URLs must be such that a request can be made of them."""
        if self.base_url and self.endpoints:
            raise ValueError("give base_url or endpoints, not both")
        if self.base_url and (why := _wrong_url(self.base_url)):
            raise WrongSetting(why, "base_url")
        for i, url in enumerate(self.endpoints):
            if why := _wrong_url(url):
                raise WrongSetting(why, "endpoints", i)
        for name, value in self.headers.items():
            if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
                raise ValueError(f"{name!r} is no header name")
            if not value.isprintable():
                raise ValueError(f"the value of header {name} has a line break or control in it")
        if not self.api_key.isprintable() or not self.api_key.isascii():
            raise ValueError("api_key has a line break or another character no key has")


def _wrong_url(url: str) -> str:
    """What is wrong with a base URL, in words that quote nothing of it."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "a base URL is like https://host/v1"
    if parts.username or parts.password or parts.query or parts.fragment:
        return "a base URL holds no credentials, query or fragment"
    try:
        port = parts.port
    except ValueError:
        return "the port of a base URL is at most 65535"
    return "the port of a base URL is not 0" if port == 0 else ""
