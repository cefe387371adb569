"""Pseudonyms, and what they stand for in one exchange.

A pseudonym is ``PII_<KIND>_<8 of a-z2-7>``.  Its tail is a MAC of the kind and
the value under a key of the tenant's own, so the same value has the same
pseudonym in every request of a tenant and another with every other tenant,
and nobody without the key can try values against it.
"""

from __future__ import annotations

import hmac
import re
from base64 import b32encode
from collections.abc import Mapping
from typing import Final

from proxy.redact.views import normalised

MARK: Final = "PII_"
MAX_ORIGINALS: Final = 20_000
"""Values that one exchange remembers; a request with more is refused."""

_TAIL: Final = 8
_BY_DIGITS: Final = frozenset({"phone", "credit_card", "us_ssn"})
_BY_SIGNS: Final = frozenset({"iban", "national_id", "passport", "drivers_license", "mac"})
_OTHER: Final = re.compile(r"[^A-Z0-9]+")
_SIGNS: Final = re.compile(r"[\W_]+")


class TooManyOriginals(ValueError):
    """More different values than one exchange may have."""


def label_of(kind: str) -> str:
    """The middle part of a pseudonym."""
    shown = _OTHER.sub("_", kind.upper()).strip("_")[:24]
    return "SECRET" if shown == "SECRETS" else shown or "OTHER"


def canonical(kind: str, value: str) -> str:
    """The value less everything that is only a way to write it."""
    plain = normalised(value).strip().lower()
    if kind in _BY_DIGITS:
        return "".join(c for c in plain if c.isdigit())
    if kind in _BY_SIGNS:
        return _SIGNS.sub("", plain)
    return " ".join(plain.split())


class TenantKey:
    """Makes pseudonyms of one tenant."""

    __slots__ = ("_key",)

    def __init__(self, master: bytes, tenant: str) -> None:
        self._key = hmac.digest(master, b"redaction\0" + tenant.encode(), "sha256")

    def pseudonym(self, kind: str, value: str) -> str:
        """The same for the same kind and value."""
        tail = self.digest(kind, value)[:5]
        return f"{MARK}{label_of(kind)}_{b32encode(tail).decode().lower()}"

    def digest(self, kind: str, value: str) -> bytes:
        """A MAC, 32 bytes."""
        return hmac.digest(self._key, f"{kind}\0{value}".encode("utf-8", "surrogatepass"), "sha256")


class Pseudonyms:
    """What the pseudonyms of one exchange stand for.

    Lives as long as the exchange and in its memory only.
    """

    __slots__ = ("_key", "_labels", "originals")

    def __init__(self, key: TenantKey) -> None:
        self._key = key
        self._labels: tuple[str, ...] = ()
        self.originals: dict[str, str] = {}

    @property
    def whose(self) -> str:
        """A name of the key, which tells nothing of it."""
        return self._key.digest("whose", "")[:8].hex()

    def pseudonym(self, kind: str, original: str) -> str:
        """A pseudonym from which ``original`` can be restored to the letter.

        A second way to write a value gets a pseudonym of its own, because
        there is one original to put back for each.
        """
        value = canonical(kind, original)
        name = self._key.pseudonym(kind, value)
        spelling = 0
        while self.originals.get(name, original) != original:
            spelling += 1
            name = self._key.pseudonym(kind, f"{value}\0{original}\0{spelling}")
        if name not in self.originals:
            if len(self.originals) >= MAX_ORIGINALS:
                raise TooManyOriginals
            self.originals[name] = original
            self._labels = ()
        return name

    def recall(self, originals: Mapping[str, str]) -> None:
        """Know what earlier exchanges of the same conversation knew."""
        self.originals.update(originals)
        self._labels = ()

    def irreversible(self, kind: str, original: str) -> str:
        """A pseudonym that nothing is remembered of."""
        return self._key.pseudonym(kind, canonical(kind, original))

    def hashed(self, kind: str, original: str) -> str:
        """A longer stand-in, for joining records outside."""
        digest = self._key.digest(kind, canonical(kind, original))
        return f"{label_of(kind)}_{digest[:12].hex()}"

    @property
    def labels(self) -> tuple[str, ...]:
        """Everything of the pseudonyms but their tails, shortest first."""
        if not self._labels:
            found = {name[:-_TAIL] for name in self.originals}
            self._labels = tuple(sorted(found, key=lambda label: (len(label), label)))
        return self._labels

    def known_at(self, text: str, at: int) -> str | None:
        """The pseudonym of this exchange that stands in ``text`` at ``at``."""
        for label in self.labels:
            if text.startswith(label, at):
                name = text[at : at + len(label) + _TAIL]
                if name in self.originals:
                    return name
        return None

    def may_begin(self, text: str) -> bool:
        """Whether ``text`` is a true beginning of a pseudonym of this exchange."""
        for label in self.labels:
            if len(text) <= len(label):
                if label.startswith(text):
                    return True
            elif text.startswith(label) and len(text) < len(label) + _TAIL:
                return any(name.startswith(text) for name in self.originals)
        return False
