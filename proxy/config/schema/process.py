"""Settings of the process: listeners, store, limits of its own, logs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from proxy.config.schema.record import Record, setting
from proxy.config.units import Address, Count, Duration, Percent, Secret, Size


@dataclass(frozen=True, slots=True, kw_only=True)
class Admin(Record):
    """The admin listener: health, readiness, status, metrics, API."""

    listen: Address = setting("Where it listens.", Address("127.0.0.1", 8401), restart=True)
    token: Secret = setting(
        "Needed for everything but health and metrics; empty: those only, from loopback.",
        Secret(""),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain(Record):
    """What happens between SIGTERM and the end."""

    delay: Duration = setting("Fail readiness this long before listening stops.", Duration(0))
    grace: Duration = setting("Let open streams go on this long.", Duration(25))


@dataclass(frozen=True, slots=True, kw_only=True)
class Store(Record):
    """Where counters, leases and the shared cache live."""

    url: Secret = setting(
        "memory://, redis://, rediss://, redis+cluster:// or redis+sentinel://. A reload "
        "with another is refused.",
        Secret("memory://"),
    )
    timeout: Duration = setting("How long a request waits for it.", Duration(0.05), restart=True)
    lease: Duration = setting(
        "How long a crash holds on to what it had reserved.", Duration(30), restart=True
    )
    rows: Count = setting(
        "Rows of a tenant's billing ledger to keep there.", Count(100_000), restart=True
    )
    on_failure: Literal["open", "closed", "local"] = setting(
        "When it is down: let through, refuse, or use this replica's share.", "local"
    )

    def __post_init__(self) -> None:
        """What is too short would give up what is alive."""
        if self.lease < 1:
            raise ValueError("lease must be at least 1s")
        if not 0.001 <= self.timeout <= 5:
            raise ValueError("timeout must be between 1ms and 5s")

    @property
    def is_memory(self) -> bool:
        """Whether state stays in this process."""
        return self.url.reveal().startswith("memory://")


@dataclass(frozen=True, slots=True, kw_only=True)
class Process(Record):
    """Bounds that protect the sidecar itself."""

    max_body: Size = setting("Largest request body.", Size(32 << 20))
    max_header: Size = setting("Largest request line or header.", Size(32 << 10), restart=True)
    max_connections: Count = setting("Clients' connections at once.", Count(4096))
    max_in_flight: Count = setting("Requests at once; more get 503.", Count(1024))
    max_stream_duration: Duration = setting("Longest answer.", Duration(3600), restart=True)
    header_timeout: Duration = setting("Longest time for a request's head.", Duration(10))
    body_timeout: Duration = setting("Longest pause in a request's body.", Duration(30))
    idle_timeout: Duration = setting("How long an idle connection is kept.", Duration(75))

    def __post_init__(self) -> None:
        """Bounds of zero would serve nobody."""
        for name in ("max_body", "max_header", "max_connections", "max_in_flight"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture(Record):
    """Keeping the text of requests and answers; off unless asked for."""

    sample: Percent = setting("Share of requests to keep.", Percent(0))
    errors: bool = setting("Keep those that failed.", default=False)
    to: str = setting("File to append to.", "")
    redacted: bool = setting("Only after redaction.", default=True)
    keep: Duration = setting("How long to keep it.", Duration(7 * 86400))

    @property
    def is_on(self) -> bool:
        """Whether anything is kept."""
        return self.sample > 0 or self.errors


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageLog(Record):
    """The billing ledger, append-only; with a redis store it is a stream there instead."""

    to: str = setting("File to append to.")
    rotate: Size = setting("Bytes after which a new file is begun.", Size(64 << 20))
    keep: Count = setting("Files kept beside the one that is written.", Count(30))

    def __post_init__(self) -> None:
        """A file must be able to hold something."""
        if not self.to:
            raise ValueError("to names a file")
        if self.rotate < 4096:
            raise ValueError("rotate must be at least 4 KiB")


@dataclass(frozen=True, slots=True, kw_only=True)
class Log(Record):
    """What is written about requests."""

    requests: Literal["stdout", "off"] = setting(
        "One JSON line a request, or none.", "stdout", restart=True
    )
    capture: Capture = setting("Text of requests, if wanted.", factory=Capture)
    usage: UsageLog | None = setting("The billing ledger.", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry(Record):
    """Traces."""

    otlp: str = setting("OTLP/HTTP endpoint; empty: no traces.", "")
    genai_semconv: bool = setting("Use OpenTelemetry's GenAI names.", default=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alerts(Record):
    """Who is told when a budget runs out or a canary is rolled back."""

    webhook: Secret = setting("URL to POST to; empty: nobody.", Secret(""))

    def __post_init__(self) -> None:
        """It must be such that something can be posted to it."""
        parts = urlsplit(self.webhook.reveal())
        if self.webhook and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError("webhook is a URL like https://host/path")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cors(Record):
    """Pages of which origins may read answers, and be the anonymous tenant."""

    origins: tuple[str, ...] = setting("Origins, or `*`.", ())
