"""The scripts that the server runs, as read from ``lua/``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "lua"


@dataclass(frozen=True, slots=True)
class Script:
    """One script and the digest that the server knows it by."""

    name: str
    text: bytes = field(repr=False)
    sha: bytes

    @classmethod
    def of(cls, name: str, text: str) -> Script:
        """A script with its digest, which is SHA-1 by the server's definition."""
        data = text.encode()
        digest = hashlib.sha1(data, usedforsecurity=False).hexdigest()
        return cls(name, data, digest.encode())


@dataclass(frozen=True, slots=True)
class Scripts:
    """All of them."""

    reserve: Script
    settle: Script
    extend: Script
    beat: Script
    cache_get: Script
    cache_put: Script
    cache_learn: Script
    cache_heard: Script
    cache_state: Script
    cache_dropped: Script

    def __iter__(self) -> Iterator[Script]:
        """Each script."""
        return iter(
            (
                self.reserve, self.settle, self.extend, self.beat,
                self.cache_get, self.cache_put, self.cache_learn,
                self.cache_heard, self.cache_state, self.cache_dropped,
            )
        )  # fmt: skip


def load_scripts(clock: str = "redis.call('TIME')") -> Scripts:
    """Read the scripts.

    ``clock`` is the expression that gives them ``{seconds, microseconds}``;
    tests put one there whose hands they turn.
    """
    texts = {path.stem: path.read_text() for path in FOLDER.glob("*.lua")}
    book = texts["book"].replace("redis.call('TIME')", clock)
    return Scripts(
        reserve=Script.of("reserve", book + texts["reserve"]),
        settle=Script.of("settle", book + texts["settle"]),
        extend=Script.of("extend", book + texts["extend"]),
        beat=Script.of("beat", texts["beat"]),
        cache_get=Script.of("cache_get", texts["cache_get"]),
        cache_put=Script.of("cache_put", texts["cache_put"]),
        cache_learn=Script.of("cache_learn", texts["cache_learn"]),
        cache_heard=Script.of("cache_heard", texts["cache_heard"]),
        cache_state=Script.of("cache_state", texts["cache_state"]),
        cache_dropped=Script.of("cache_dropped", texts["cache_dropped"]),
    )
