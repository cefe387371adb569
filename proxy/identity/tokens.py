"""Checks signed tokens (RFC 7515, 7519) and remembers those that were good.

The header of a token is the word of a stranger: it chooses among the keys at
hand and among the algorithms that fit them, and nothing else in it is heeded,
so no address of keys (``jku``, ``x5u``), no key (``jwk``, ``x5c``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from jwt.algorithms import get_default_algorithms

from proxy.core.errors import IdentityUnavailable, Unauthenticated
from proxy.core.ports import Clock, Identity
from proxy.identity.claims import Expected, expired, identity_of
from proxy.identity.compact import json_object, malformed, take_apart
from proxy.identity.keys import ALGORITHMS, KeySource

MAX_TOKEN: Final = 16 * 1024
"""Characters; tokens that list many groups are half as long."""

MAX_KNOWN: Final = 4096
"""Good tokens that are remembered; a check costs hundreds of look-ups."""

_CHECKS: Final = {
    name: check for name, check in get_default_algorithms().items() if name in ALGORITHMS
}


class SignedTokens:
    """The ``Tokens`` of one identity provider."""

    def __init__(self, expected: Expected, source: KeySource, clock: Clock) -> None:
        self._expected = expected
        self._source = source
        self._clock = clock
        self._keys = source.keys
        self._known: dict[bytes, tuple[Identity, float]] = {}

    def verify(self, token: str, digest: bytes) -> Identity | None:
        """Whom ``token`` speaks for, or nothing if its key is not at hand."""
        keys = self._source.keys
        if keys is not self._keys:
            # A key that was withdrawn takes with it what it signed.
            self._known.clear()
            self._keys = keys
        found = self._known.pop(digest, None)
        if found is None:
            return self._check(token, digest)
        if self._clock.wall() >= found[1]:
            raise expired()
        # Put back as the last: the first are those not used for longest.
        self._known[digest] = found
        return found[0]

    async def fetch(self, token: str, digest: bytes) -> Identity:
        """The same, after asking for newer keys."""
        await self._source.refresh()
        identity = self.verify(token, digest)
        if identity is not None:
            return identity
        if not self._source.keys:
            raise IdentityUnavailable(
                "the identity provider's keys are not at hand, so no token can be checked",
                retry_after=5,
            )
        raise Unauthenticated("the token's key id (its `kid`) is not one of the provider's")

    def _check(self, token: str, digest: bytes) -> Identity | None:
        if len(token) > MAX_TOKEN:
            raise Unauthenticated(f"the token is longer than {MAX_TOKEN} characters")
        compact = take_apart(token)
        kid, algorithm = _named(compact.header)
        fit = self._keys.find(kid, algorithm)
        if not fit:
            if not self._keys.has(kid):
                return None
            why = "names no key (`kid`)" if kid is None else "is of another kind than its key"
            raise Unauthenticated(f"the token {why}")
        check = _CHECKS[algorithm].verify
        if not any(check(compact.signed, key.key, compact.signature) for key in fit):
            raise Unauthenticated("the token's signature is not good")
        claims = json_object(compact.payload)
        identity, until = identity_of(claims, self._expected, self._clock.wall())
        if len(self._known) >= MAX_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[digest] = (identity, until)
        return identity


def _named(header: Mapping[str, Any]) -> tuple[str | None, str]:
    """The key id and the algorithm that a token names."""
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise Unauthenticated(
            "the token's algorithm is not accepted; there is " + ", ".join(ALGORITHMS)
        )
    kid = header.get("kid")
    # An extension that must be understood is one that we do not; an unencoded
    # payload (RFC 7797) is one of them.
    if "crit" in header or "b64" in header or not isinstance(kid, str | None):
        raise malformed()
    return kid, algorithm
