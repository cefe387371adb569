"""How old an answer may be, and what a client may say about that.

The words are those of RFC 9111; times are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

State = Literal["fresh", "stale", "expired"]


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request's ``Cache-Control`` asks for."""

    reads: bool = True
    stores: bool = True
    max_age: float | None = None
    only_cached: bool = False


NO_WISH: Final = Wish()


def wish_of(header: str) -> Wish:
    """The wish in a ``Cache-Control`` header; what cannot be read asks for nothing."""
    if not header:
        return NO_WISH
    words = {}
    for part in header.lower().split(","):
        name, _, value = part.partition("=")
        words[name.strip()] = value.strip().strip('"')
    age = words.get("max-age", "")
    max_age = float(age) if age.isascii() and age.isdigit() and len(age) < 12 else None
    return Wish(
        reads="no-cache" not in words and "no-store" not in words and max_age != 0,
        stores="no-store" not in words,
        max_age=max_age,
        only_cached="only-if-cached" in words,
    )


def state_of(age: float, ttl: float, stale: float, wish: Wish = NO_WISH) -> State:
    """Fresh is served, stale is served and refreshed, expired only if all else fails."""
    if wish.max_age is not None and age > wish.max_age:
        return "expired"
    if age < ttl:
        return "fresh"
    return "stale" if age < ttl + stale else "expired"
