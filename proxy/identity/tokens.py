"""Checks signed tokens (RFC 7515, 7519) and remembers those that were good.

The header of a token is the word of a stranger: it chooses among the keys at
hand and among the algorithms that fit them, and nothing else in it is heeded,
so no address of keys (``jku``, ``x5u``), no key (``jwk``, ``x5c``).
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from typing import Any, Final

import orjson
from jwt import InvalidSignatureError, PyJWS, PyJWTError

from proxy.core.errors import IdentityUnavailable, Unauthenticated
from proxy.core.ports import Clock, Identity
from proxy.identity.claims import Expected, expired, identity_of
from proxy.identity.keys import ALGORITHMS, KeySource, PublicKey

MAX_TOKEN: Final = 16 * 1024
"""Characters; tokens that list many groups are half as long."""

MAX_KNOWN: Final = 4096
"""Good tokens that are remembered; a check costs fifty times a look-up."""


class SignedTokens:
    """The ``Tokens`` of one identity provider."""

    def __init__(self, expected: Expected, source: KeySource, clock: Clock) -> None:
        self._expected = expected
        self._source = source
        self._clock = clock
        self._keys = source.keys
        self._known: dict[bytes, tuple[Identity, float]] = {}
        self._jws = PyJWS(ALGORITHMS)

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
        kid, algorithm = self._header(token)
        fit = self._keys.find(kid, algorithm)
        if not fit:
            if not self._keys.has(kid):
                return None
            why = "names no key (`kid`)" if kid is None else "is of another kind than its key"
            raise Unauthenticated(f"the token {why}")
        claims = self._claims(token, algorithm, fit)
        identity, until = identity_of(claims, self._expected, self._clock.wall())
        if len(self._known) >= MAX_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[digest] = (identity, until)
        return identity

    def _header(self, token: str) -> tuple[str | None, str]:
        """The key id and the algorithm that a token names."""
        text = token.partition(".")[0]
        try:
            header = orjson.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        except ValueError as exc:
            raise _malformed() from exc
        if not isinstance(header, dict) or "=" in token:
            raise _malformed()
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
            raise Unauthenticated(
                "the token's algorithm is not accepted; there is " + ", ".join(ALGORITHMS)
            )
        kid = header.get("kid")
        # An extension that must be understood is one that we do not.
        if "crit" in header or not isinstance(kid, str | None):
            raise _malformed()
        return kid, algorithm

    def _claims(self, token: str, algorithm: str, fit: tuple[PublicKey, ...]) -> dict[str, Any]:
        """What is signed by one of the keys."""
        for key in fit:
            try:
                signed = self._jws.decode_complete(token, key.key, [algorithm])["payload"]
            except InvalidSignatureError:
                continue
            except (PyJWTError, UnicodeEncodeError) as exc:
                raise _malformed() from exc
            try:
                claims = orjson.loads(signed)
            except orjson.JSONDecodeError as exc:
                raise _malformed() from exc
            if not isinstance(claims, dict):
                raise _malformed()
            return claims
        raise Unauthenticated("the token's signature is not good")


def _malformed() -> Unauthenticated:
    return Unauthenticated("the token is malformed")
