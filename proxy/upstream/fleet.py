"""All upstreams, their pools and their gates; both outlive a reload.

A pool is kept under everything that shapes its connections, so a new
configuration that names the same endpoint finds it warm, and one that nobody
names any more is closed.  A gate is kept under the name of its upstream.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakSet

from proxy.rules.retries import RetryBudget
from proxy.upstream.connection import Connection
from proxy.upstream.deadlines import Deadlines
from proxy.upstream.gate import Bounds, Gate, Watch
from proxy.upstream.pool import Origin, Pool
from proxy.upstream.providers import Provider, salts
from proxy.upstream.target import Endpoint, Upstream
from proxy.wire.headers import dropped


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Paths of PEM files: a CA of their own, a certificate of ours."""

    ca: str = ""
    cert: str = ""
    key: str = ""
    verify: bool = True


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a configuration names: pools, the names they stand under, gates and bounds."""

    pools: dict[tuple[object, ...], Pool] = field(default_factory=dict)
    named: list[tuple[str, Pool]] = field(default_factory=list)
    gates: dict[str, tuple[Gate, Bounds]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What the configuration says of one upstream, in plain values."""

    name: str
    provider: Provider
    urls: tuple[str, ...]
    key: str
    headers: tuple[tuple[str, str], ...]
    deadlines: Deadlines
    max_duration: float
    connect_s: float
    asks_usage: bool
    passthrough: bool = False
    region: str = ""
    max_connections: int = 0
    tls: Tls | None = None
    bounds: Bounds | None = None


class Fleet:
    """Makes upstreams of specs, and holds the pools and gates."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, now: Callable[[], float], watch: Watch
    ) -> None:
        self._loop = loop
        self._now = now
        self._watch = watch
        self._gates: dict[str, Gate] = {}
        self._pools: dict[tuple[object, ...], Pool] = {}
        # Also those that no configuration names any more: what they still
        # serve, and what its exchanges may yet begin, has deadlines too.
        self._alive: WeakSet[Pool] = WeakSet()
        self._named: list[tuple[str, Pool]] = []
        self._next = _Plan()

    def _connection(self) -> Connection:
        return Connection(self._loop, self._now)

    def upstreams(self, specs: Mapping[str, Spec]) -> dict[str, Upstream]:
        """The upstreams of a configuration, which is in force once it is adopted.

        Raises ``UnusableTls``; nothing that serves is touched.
        """
        self._next = plan = _Plan()
        made = {}
        for name, spec in specs.items():
            endpoints = []
            for url in spec.urls:
                key, pool, endpoint = self._endpoint(spec, url)
                plan.pools[key] = pool
                plan.named.append((name, pool))
                endpoints.append(endpoint)
            made[name] = upstream = _upstream(spec, endpoints)
            if spec.bounds is not None:
                upstream.gate = gate = self._gates.get(name) or self._gate(name, spec.bounds)
                plan.gates[name] = gate, spec.bounds
        return made

    def _gate(self, name: str, bounds: Bounds) -> Gate:
        return Gate(name, bounds, self._loop.create_future, self._now, self._watch)

    def adopt(self) -> None:
        """Put in force what ``upstreams`` made last; pools it does not use are closed."""
        plan = self._next
        for key, pool in self._pools.items():
            if key not in plan.pools:
                pool.close()
        for name, gate in self._gates.items():
            if name not in plan.gates:
                gate.lift()
        for gate, bounds in plan.gates.values():
            gate.set(bounds)
        self._pools, self._named = plan.pools, plan.named
        self._gates = {name: gate for name, (gate, _) in plan.gates.items()}

    def _endpoint(self, spec: Spec, url: str) -> tuple[tuple[object, ...], Pool, Endpoint]:
        parts = urlsplit(url)
        is_tls = parts.scheme == "https"
        host = parts.hostname or ""
        port = parts.port or (443 if is_tls else 80)
        # What the files hold and not only where they are: certificates are rotated.
        held = _held(spec.tls) if is_tls and spec.tls is not None else b""
        key = (is_tls, host, port, spec.tls, held, spec.connect_s, spec.max_connections,
               spec.provider.idle_s)  # fmt: skip
        pool = self._pools.get(key) or self._next.pools.get(key)
        if pool is None:
            pool = Pool(
                Origin(host, port, tls_context(spec.tls) if is_tls else None),
                self._connection,
                connect_s=spec.connect_s,
                idle_s=spec.provider.idle_s,
                limit=spec.max_connections,
            )
            self._alive.add(pool)
        return key, pool, Endpoint(pool, parts.netloc.encode("idna"), parts.path.rstrip("/"))

    def sweep(self, now: float) -> None:
        """Enforce the deadlines of every connection."""
        for pool in self._alive:
            pool.sweep(now)
        for gate in self._gates.values():
            gate.sweep(now)

    def counts(self) -> Iterator[tuple[str, str, int, int]]:
        """Upstream, endpoint, connections in use, connections idle."""
        for name, pool in self._named:
            yield name, str(pool.origin), pool.in_flight, pool.idle

    def status(self) -> list[dict[str, Any]]:
        """The same, for people."""
        return [
            {"upstream": name, "endpoint": endpoint, "in_flight": busy, "idle": idle}
            for name, endpoint, busy, idle in self.counts()
        ]

    def gates(self) -> list[dict[str, Any]]:
        """How full each upstream is that is given so much at once."""
        return [gate.status() for gate in self._gates.values()]

    def close(self) -> None:
        """Close what is idle now and the rest as it comes back."""
        for pool in self._pools.values():
            pool.close()


def _upstream(spec: Spec, endpoints: list[Endpoint]) -> Upstream:
    lines = [] if spec.passthrough else spec.provider.auth_headers(spec.key)
    lines += [(name.encode(), value.encode()) for name, value in spec.headers]
    owned = frozenset(name.lower() for name, _ in lines) | spec.provider.strip_headers
    owned |= {b"sec-websocket-protocol"}
    return Upstream(
        name=spec.name,
        provider=spec.provider,
        endpoints=endpoints,
        deadlines=replace(spec.deadlines, total=min(spec.deadlines.total, spec.max_duration)),
        # Both ends keep a socket alive themselves.
        socket_deadlines=Deadlines(spec.deadlines.first, spec.max_duration, spec.max_duration),
        static=b"".join(b"%s: %s\r\n" % line for line in lines),
        drops=dropped(is_metered=False, more=owned),
        drops_metered=dropped(is_metered=True, more=owned),
        asks_usage=spec.asks_usage,
        passthrough=spec.passthrough,
        budget=RetryBudget(),
        region=spec.region,
        salts=salts(spec.key or spec.name) if spec.provider.shares_prefixes else None,
    )


class UnusableTls(Exception):
    """A TLS file of an upstream cannot be read or is not what it should be.

    ``part`` is the setting that names it.
    """

    def __init__(self, part: str, why: str) -> None:
        super().__init__(f"upstreams: tls.{part}: {why}")
        self.part = part
        self.why = why


def tls_context(tls: Tls | None) -> ssl.SSLContext:
    """What TLS trusts and shows.  Raises ``UnusableTls``."""
    tls = tls or Tls()
    _held(tls)
    try:
        context = ssl.create_default_context(cafile=tls.ca or None)
    except OSError as exc:  # which ssl.SSLError is too
        raise UnusableTls("ca", "there is no PEM certificate in it") from exc
    try:
        if tls.cert:
            # A password, or OpenSSL would ask the terminal for one.
            context.load_cert_chain(tls.cert, tls.key or None, password="")
    except OSError as exc:
        why = "no PEM certificate with a key that fits and needs no password"
        raise UnusableTls("cert", why) from exc
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _held(tls: Tls) -> bytes:
    """A digest of what the files hold now.  Raises ``UnusableTls``."""
    state = blake2b(digest_size=16)
    for part, path in (("ca", tls.ca), ("cert", tls.cert), ("key", tls.key)):
        try:
            data = Path(path).read_bytes() if path else b""
        except OSError as exc:
            raise UnusableTls(part, exc.strerror or type(exc).__name__) from exc
        state.update(len(data).to_bytes(8, "big") + data)
    return state.digest()
