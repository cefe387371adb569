"""What a token says, once its signature is known to be good."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from proxy.core.errors import Unauthenticated
from proxy.core.ports import Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What tokens must say.  An empty ``audience`` is any; times are seconds.

    ``scopes`` are the names that mean something here; others are let go.
    """

    issuer: str
    tenant_claim: str
    tenants: frozenset[str]
    audience: str = ""
    leeway: float = 0.0
    scopes: frozenset[str] = frozenset()


def identity_of(
    claims: Mapping[str, Any], expected: Expected, now: float
) -> tuple[Identity, float]:
    """Whom a token speaks for, and until when (seconds since 1970).

    Raises ``Unauthenticated`` with what is wrong, and never with a claim.
    """
    until = _times(claims, expected.leeway, now)
    if claims.get("iss") != expected.issuer:
        raise Unauthenticated("the token's issuer is not the one this proxy trusts")
    if expected.audience and expected.audience not in _texts(claims.get("aud")):
        raise Unauthenticated("the token is for another audience (its `aud`)")
    tenant = _at(claims, expected.tenant_claim)
    if not isinstance(tenant, str) or not tenant:
        raise Unauthenticated(f"the token names no tenant in its claim `{expected.tenant_claim}`")
    if tenant not in expected.tenants:
        raise Unauthenticated("the token names a tenant that this proxy does not have")
    subject = claims.get("sub")
    opened = expected.scopes.intersection(_scopes(claims)) if expected.scopes else frozenset()
    return Identity(tenant, subject if isinstance(subject, str) else "", opened), until


def _times(claims: Mapping[str, Any], leeway: float, now: float) -> float:
    """When the token ends, the leeway in it."""
    expires = _seconds(claims, "exp")
    if expires is None:
        raise Unauthenticated("the token never expires (it has no `exp`)")
    if now >= expires + leeway:
        raise expired()
    begins = _seconds(claims, "nbf")
    if begins is not None and now < begins - leeway:
        raise Unauthenticated("the token is not valid yet (its `nbf`)")
    issued = _seconds(claims, "iat")
    if issued is not None and now < issued - leeway:
        raise Unauthenticated("the token was issued in the future (its `iat`)")
    return expires + leeway


def expired() -> Unauthenticated:
    """The refusal of a token whose time is over."""
    return Unauthenticated("the token has expired; get a new one from the identity provider")


def _seconds(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise Unauthenticated(f"the token's `{name}` is not a time")
    return float(value)


def _at(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name, or by its path if there is none of that name.

    Names first: those with a domain in them have dots of their own.
    """
    if name in claims:
        return claims[name]
    value: Any = claims
    for step in name.split("."):
        if not isinstance(value, dict) or step not in value:
            return None
        value = value[step]
    return value


def _scopes(claims: Mapping[str, Any]) -> Iterator[str]:
    """Names in ``scope``, ``scp`` and ``scopes``, whichever a provider uses."""
    for name in ("scope", "scp", "scopes"):
        for text in _texts(claims.get(name)):
            yield from text.split(" ")


def _texts(value: Any) -> tuple[str, ...]:
    """A claim that is one text or a list of them."""
    if isinstance(value, str):
        return (value,)
    return tuple(v for v in value if isinstance(v, str)) if isinstance(value, list) else ()
