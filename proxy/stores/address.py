"""Where a store is, read from its URL.

    redis://[user:password@]host[:port][/db]        rediss:// the same over TLS
    unix://[user:password@]/path[?db=0]
    redis+sentinel://[user:password@]host:port,host:port/service[/db]
    redis+cluster://[user:password@]host:port,host:port

``rediss+sentinel`` and ``rediss+cluster`` are those over TLS.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field, replace
from typing import Final, Literal
from urllib.parse import parse_qs, unquote, urlsplit

Mode = Literal["single", "sentinel", "cluster"]

_SCHEMES: Final[dict[str, tuple[Mode, bool]]] = {
    "redis": ("single", False),
    "rediss": ("single", True),
    "unix": ("single", False),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}
_PORTS: Final = {"single": 6379, "sentinel": 26379, "cluster": 6379}


@dataclass(frozen=True, slots=True)
class Address:
    """One server, or the few to ask where it is."""

    mode: Mode
    hosts: tuple[tuple[str, int], ...]
    path: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    db: int = 0
    service: str = ""
    tls: ssl.SSLContext | None = field(default=None, repr=False)

    def at(self, host: str, port: int) -> Address:
        """The server that was found there, with the same credentials."""
        return replace(self, mode="single", hosts=((host, port),))

    def __str__(self) -> str:
        return self.path or ",".join(f"{host}:{port}" for host, port in self.hosts)


def parse_address(url: str) -> Address:
    """Read a store's URL.

    Raises ``ValueError``, which quotes nothing of the URL but its scheme.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        # Its words may quote what stands before the host.
        raise ValueError("a store's URL cannot be read") from None
    if parts.scheme not in _SCHEMES:
        raise ValueError(f"a store's URL does not begin with {parts.scheme}://")
    if parts.scheme != "unix" and not url[len(parts.scheme) :].startswith("://"):
        raise ValueError(f"a store's URL begins with {parts.scheme}://, with two slashes")
    mode, is_tls = _SCHEMES[parts.scheme]
    login, _, where = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    found = Address(
        mode,
        (),
        username=unquote(user),
        password=unquote(password),
        tls=ssl.create_default_context() if is_tls else None,
    )
    try:
        if parts.scheme == "unix":
            db = int(parse_qs(parts.query).get("db", ["0"])[0])
            return replace(found, path=unquote(parts.path), db=db)
        steps = [step for step in parts.path.split("/") if step]
        service = unquote(steps.pop(0)) if mode == "sentinel" and steps else ""
        db = int(steps.pop(0)) if steps else 0
        hosts = tuple(_host(text, _PORTS[mode]) for text in where.split(","))
    except ValueError:
        raise ValueError("a store's URL has a port or a database that is no number") from None
    if mode == "sentinel" and not service:
        raise ValueError("a sentinel's URL ends with the name of its service")
    if mode == "cluster" and db:
        raise ValueError("a cluster has no databases but 0")
    return replace(found, hosts=hosts, db=db, service=service)


def _host(text: str, port: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    return parts.hostname or "127.0.0.1", parts.port or port
