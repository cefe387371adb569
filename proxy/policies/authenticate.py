"""Whose a request is, and whether they may use its path.

Keys are looked up by their sha256 digest; the keys themselves are never kept.
How long that takes tells nobody how much of a wrong key's digest is right: the
table compares digests only where their hashes agree, and those are keyed with
a secret of this process (SipHash).  What is no key but has the form of a token
is checked as one.  A tenant comes from these alone, never from a header that
the client may set.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Final

from proxy.core.errors import BadRequest, PathNotAllowed, Unauthenticated
from proxy.core.exchange import Exchange
from proxy.core.policy import Answer, Policy
from proxy.core.ports import Clock, Tokens

_SUBPROTOCOL_KEY: Final = "openai-insecure-api-key."
_TOKEN: Final = re.compile(r"[A-Za-z0-9_=-]+\.[A-Za-z0-9_=-]+\.[A-Za-z0-9_=-]*")
"""Three parts in base64url; the last is empty where nobody signed."""

_SIMPLE: Final = frozenset({
    "", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain",
    "text/ping", "application/csp-report",  # of what a browser sends by itself for a page
})  # fmt: skip
"""Types of bodies that a page may send to any site without asking first."""


_LOCAL: Final = re.compile(r"(?:(?:[^:]+\.)?localhost|[0-9.]+|\[[0-9a-f:.]+\])?(?::[0-9]+)?")
"""Hosts that no name server answers for, so that nobody else has pages there."""


class CrossSite(BadRequest):
    """A page of another site sent it, which no key and no setting lets in."""

    status = 403
    type = "permission_error"
    code = "cross_site_request"


PathJudge = Callable[[Exchange], bool]
"""Whether an exchange's path may be used."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key of a tenant.  ``expires`` is the first day (UTC) it is refused."""

    tenant: str
    digest: bytes
    name: str = ""
    expires: date | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """What authentication knows of a tenant.

    ``may_use`` judges paths.  ``priority`` (0 goes first) and ``weight`` are
    its standing at a contended upstream.
    """

    tenant: str
    may_use: PathJudge
    tags: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who else names tenants: by tokens, with paths that their scopes open.

    Without ``scopes`` the tenant's paths alone decide.
    """

    tokens: Tokens
    scopes: Mapping[str, PathJudge] = field(default_factory=dict)


class AuthenticatePolicy(Policy):
    """Sets ``x.tenant`` or refuses.  Pages of ``origins`` may be anonymous, ``*`` is all."""

    name = "authenticate"

    def __init__(
        self,
        callers: Mapping[str, Caller],
        keys: tuple[ApiKey, ...],
        anonymous: str | None,
        clock: Clock,
        issuer: Issuer | None = None,
        origins: frozenset[str] = frozenset(),
    ) -> None:
        self._callers = callers
        self._keys = {key.digest: key for key in keys}
        self._anonymous = anonymous
        self._clock = clock
        self._issuer = issuer
        self._origins = origins

    async def on_request(self, x: Exchange) -> Answer | None:
        """Find the tenant; 401 and 403 name the reason, never the key."""
        secret = credential(x.headers)
        digest = sha256(secret.encode("utf-8", "surrogateescape")).digest()
        tenant = self._by_key(x, digest) if secret else None
        if tenant is None and self._issuer is not None and _TOKEN.fullmatch(secret):
            tenant = await self._by_token(x, self._issuer, secret, digest)
        caller = self._callers[tenant or self._by_default(x, secret)]
        x.tenant = caller.tenant
        x.tags = caller.tags
        x.priority = caller.priority
        x.weight = caller.weight
        if not caller.may_use(x):
            raise PathNotAllowed(
                f"tenant {caller.tenant!r} may not use {x.path[:200]}; "
                "its `paths` in the configuration decide"
            )
        return None

    def _by_key(self, x: Exchange, digest: bytes) -> str | None:
        key = self._keys.get(digest)
        if key is None:
            return None
        x.key_name = key.name
        if key.expires is not None and self._today() >= key.expires:
            raise Unauthenticated(f"this key expired on {key.expires.isoformat()}")
        return key.tenant

    async def _by_token(self, x: Exchange, issuer: Issuer, token: str, digest: bytes) -> str:
        # A token that is not good is refused even where anyone is served: who
        # sends one means to be somebody.
        x.key_name = "jwt"
        identity = issuer.tokens.verify(token, digest)
        if identity is None:
            identity = await issuer.tokens.fetch(token, digest)
        x.subject = identity.subject
        if issuer.scopes and not any(issuer.scopes[name](x) for name in identity.scopes):
            x.tenant = identity.tenant
            raise PathNotAllowed(f"no scope of this token opens {x.path[:200]}")
        return identity.tenant

    def _by_default(self, x: Exchange, secret: str) -> str:
        if self._anonymous is not None:
            # Who may connect is served; a page that anybody wrote makes a browser connect.
            if is_unasked(x, self._origins):
                raise CrossSite(
                    "a page of another site needs a key, or its origin in `cors.origins`"
                )
            # An application that was only repointed still sends the key it
            # had; where anyone is served, that is no reason to refuse it.
            return self._anonymous
        if not secret:
            raise Unauthenticated("no key was sent; send one as `Authorization: Bearer KEY`")
        raise Unauthenticated("the key is not one of this proxy's")

    def _today(self) -> date:
        return datetime.fromtimestamp(self._clock.wall(), UTC).date()


def is_unasked(x: Exchange, origins: frozenset[str]) -> bool:
    """Whether a browser sent ``x`` for a page of a site that is not let in, and so
    that it did not have to ask first: a simple POST, or a WebSocket, or whatever a
    page sends whose own name was made to lead here.
    """
    headers = x.headers
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if (origin is None and site is None) or origin in origins or "*" in origins:
        return False
    named = (origin or "").partition("://")[2].lower()
    is_own = named == headers.get("host", "").lower()
    if is_own and not _LOCAL.fullmatch(named):
        return True
    if x.method == "POST":
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        # Of a key a browser would have asked; other schemes it knows by itself.
        if kind not in _SIMPLE or credential(headers):
            return False
    elif headers.get("upgrade", "").lower() != "websocket":
        return False
    if site is not None:
        return site in ("cross-site", "same-site")
    return not is_own


def credential(headers: Mapping[str, str]) -> str:
    """The key a client sent, wherever its SDK puts it; empty if nowhere."""
    bearer = headers.get("authorization")
    if bearer is not None:
        scheme, _, secret = bearer.partition(" ")
        return secret.strip() if scheme.lower() == "bearer" else ""
    for name in ("api-key", "x-api-key"):
        if secret := headers.get(name, ""):
            return secret.strip()
    for offered in headers.get("sec-websocket-protocol", "").split(","):
        if offered.strip().startswith(_SUBPROTOCOL_KEY):
            return offered.strip()[len(_SUBPROTOCOL_KEY) :]
    return ""
