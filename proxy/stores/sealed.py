"""Sealing of cached answers: AES-256-GCM with keys derived for each scope.

A sealed value is

    "ss" form:1 key-id:4 flags:1 nonce:12 ciphertext tag:16

and is bound to all of its header, to its scope and to the key it is kept
under.  The scope's salt goes into the key of its values: who deletes the salt
has deleted the values.
"""

from __future__ import annotations

import os
from hashlib import blake2b
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from zstandard import ZstdCompressor, ZstdDecompressor, ZstdError

MAGIC: Final = b"ss\x01"
PACKED: Final = 1
HEAD: Final = 8
NONCE: Final = 12
LEAST: Final = HEAD + NONCE + 16
PACK_FROM: Final = 2048
"""Bytes from which on compressing is worth its time: below, it takes 2 µs of the 50
that a hit costs, for a third less room."""

LEVEL: Final = 1

DIGEST: Final = 16
"""Bytes of a digest: one block of AES."""

KEY_SIZE: Final = 20
"""Bytes of a name: a digest that was encrypted, and the key's id."""

MAX_SCOPES: Final = 4096


class Unsealable(Exception):
    """A value that is not what was sealed; ``reason`` is a metric label."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Master:
    """One master key of 32 bytes, and the keys derived from it.

    ``purpose`` sets apart what is sealed for different ends.
    """

    def __init__(self, secret: bytes, purpose: str = "value") -> None:
        self._secret = secret
        self._purpose = purpose
        self.ident = blake2b(secret, digest_size=4, person=b"ss key id").digest()
        self._begin = MAGIC + self.ident
        self._indexes: dict[str, CipherContext] = {}
        self._values: dict[tuple[str, bytes], AESGCM] = {}
        # Kept, because making one costs more than a small answer does.
        self._packer = ZstdCompressor(level=LEVEL)
        self._unpacker = ZstdDecompressor()

    def _derive(self, purpose: str, scope: str, salt: bytes) -> bytes:
        info = f"sidestream cache {purpose}\0{scope}".encode("utf-8", "surrogatepass")
        return HKDF(SHA256(), 32, salt, info).derive(self._secret)

    def name(self, scope: str, material: bytes) -> bytes:
        """The key of what ``material`` says, which it does not tell."""
        return self.named(scope, blake2b(material, digest_size=DIGEST).digest())

    def named(self, scope: str, digest: bytes) -> bytes:
        """The key of what has that digest."""
        index = self._indexes.get(scope)
        if index is None:
            if len(self._indexes) >= MAX_SCOPES:
                self._indexes.clear()
            index = self._indexes[scope] = self._index(scope).encryptor()
        return index.update(digest) + self.ident

    def digest_of(self, scope: str, name: bytes) -> bytes | None:
        """The digest that has this name here; ``None`` if another key has made it."""
        if len(name) != KEY_SIZE or not name.endswith(self.ident):
            return None
        return self._index(scope).decryptor().update(name[:DIGEST])

    def _index(self, scope: str) -> Cipher[ECB]:
        """Makes names of digests.  One block of a digest is all that is ever
        encrypted at once, so blocks need not be told apart.
        """
        return Cipher(AES(self._derive("index", scope, b"")), ECB())  # noqa: S305 - see above

    def _value(self, scope: str, salt: bytes) -> AESGCM:
        found = self._values.get((scope, salt))
        if found is None:
            if len(self._values) >= MAX_SCOPES:
                self._values.clear()
            found = self._values[scope, salt] = AESGCM(self._derive(self._purpose, scope, salt))
        return found

    def forget(self, scope: str) -> None:
        """Keep nothing that could open what was sealed for ``scope``, or ("") for any."""
        for known in [k for k in self._values if not scope or k[0] == scope]:
            del self._values[known]

    def seal(self, scope: str, salt: bytes, name: bytes, data: bytes) -> bytes:
        """``data``, for ``scope`` and ``name`` only."""
        flags = 0
        if len(data) >= PACK_FROM:
            data, flags = self._packer.compress(data), PACKED
        head = self._begin + bytes((flags,))
        nonce = os.urandom(NONCE)
        return (
            head + nonce + self._value(scope, salt).encrypt(nonce, data, _bound(head, scope, name))
        )

    def open(self, scope: str, salt: bytes, name: bytes, sealed: bytes) -> bytes:
        """What was sealed.  Raises ``Unsealable``."""
        if len(sealed) < LEAST:
            raise Unsealable("truncated")
        head = sealed[:HEAD]
        if not head.startswith(self._begin):
            raise Unsealable("key" if head.startswith(MAGIC) else "form")
        # Looked up here and not by a call: every hit comes by.
        value = self._values.get((scope, salt)) or self._value(scope, salt)
        try:
            data = value.decrypt(
                sealed[HEAD : HEAD + NONCE], sealed[HEAD + NONCE :], _bound(head, scope, name)
            )
            return self._unpacker.decompress(data) if head[7] & PACKED else data
        except (InvalidTag, ZstdError) as exc:
            raise Unsealable("seal") from exc


def _bound(head: bytes, scope: str, name: bytes) -> bytes:
    return head + name + scope.encode("utf-8", "surrogatepass")
