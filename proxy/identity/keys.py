"""Public keys of an identity provider, out of a JWK set (RFC 7517).

What a key is decides what may be checked with it: an RSA key never takes an
ES256 token, a P-256 key never an ES384 one, and nothing that is secret rather
than public is a key here at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK, PyJWTError

Public = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

MAX_KEYS: Final = 100
"""Keys in one set; providers have two to ten."""

MIN_RSA_BITS: Final = 2048

_FITS: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("RSA", ""): ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
}
"""What each type of key signs, by ``kty`` and ``crv``."""

_PUBLIC: Final = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
"""Members that make the public key of each ``kty``."""

ALGORITHMS: Final = tuple(name for names in _FITS.values() for name in names)


class BadKeys(Exception):
    """A document that is no JWK set, or one without a usable key."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One key, and the algorithms it may be used with."""

    kid: str | None
    algorithms: frozenset[str]
    key: Public


class KeySet:
    """The keys that are in force at one moment."""

    __slots__ = ("_all", "_named")

    def __init__(self, keys: tuple[PublicKey, ...] = ()) -> None:
        self._all = keys
        self._named: dict[str, tuple[PublicKey, ...]] = {}
        for key in keys:
            if key.kid is not None:
                self._named[key.kid] = (*self._named.get(key.kid, ()), key)

    def __len__(self) -> int:
        return len(self._all)

    def find(self, kid: str | None, algorithm: str) -> tuple[PublicKey, ...]:
        """The keys a token may be signed with: mostly one, often none.

        Providers may give several keys one id.  Without an id the algorithm
        must leave no choice.
        """
        named = self._all if kid is None else self._named.get(kid, ())
        fit = tuple(key for key in named if algorithm in key.algorithms)
        return fit if kid is not None or len(fit) == 1 else ()

    def has(self, kid: str | None) -> bool:
        """Whether asking for newer keys would not help a token of this key."""
        return bool(self._all) if kid is None else kid in self._named


NO_KEYS: Final = KeySet()


class KeySource(Protocol):
    """Keys that may change."""

    @property
    def keys(self) -> KeySet:
        """Those in force now; another object as soon as they are others."""
        ...

    async def refresh(self) -> None:
        """Ask for newer ones, if that has not just been done."""
        ...


class HeldKeys:
    """Keys that are here and stay the same."""

    def __init__(self, keys: KeySet) -> None:
        self.keys = keys

    async def refresh(self) -> None:
        """There is nobody to ask."""


def parse_keys(document: str | bytes) -> KeySet:
    """The usable keys of a JWK set.  Raises ``BadKeys`` if there are none."""
    try:
        found = orjson.loads(document)
    except orjson.JSONDecodeError as exc:
        raise BadKeys("it is not JSON") from exc
    members = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(members, list):
        raise BadKeys("it has no list named `keys`")
    if len(members) > MAX_KEYS:
        raise BadKeys(f"it has more than {MAX_KEYS} keys")
    keys = tuple(key for member in members if (key := _key(member)) is not None)
    if not keys:
        raise BadKeys("it has no public key to check signatures with")
    return KeySet(keys)


def _key(member: Any) -> PublicKey | None:
    """A member of the set, or nothing if it is for something else."""
    if not isinstance(member, dict):
        return None
    kind, curve, kid = member.get("kty"), member.get("crv", ""), member.get("kid")
    if not isinstance(kind, str) or not isinstance(curve, str) or not isinstance(kid, str | None):
        return None
    fits = _FITS.get((kind, curve), ())
    if "alg" in member:
        fits = tuple(name for name in fits if name == member["alg"])
    if not fits or not _verifies(member):
        return None
    public = {name: member.get(name) for name in _PUBLIC[kind]}
    try:
        key = PyJWK({"kty": kind, **public}, fits[0]).key
    except (PyJWTError, ValueError, TypeError, AttributeError):
        # It raises as it finds things, from its own errors to those of
        # whatever its numbers were not.
        return None
    if not isinstance(key, Public):
        return None
    if isinstance(key, RSAPublicKey) and key.key_size < MIN_RSA_BITS:
        return None
    return PublicKey(kid, frozenset(fits), key)


def _verifies(member: Mapping[str, Any]) -> bool:
    """Whether a key is meant for checking signatures (RFC 7517, 4.2 and 4.3)."""
    operations = member.get("key_ops")
    is_listed = operations is None or (isinstance(operations, list) and "verify" in operations)
    return member.get("use", "sig") == "sig" and is_listed
