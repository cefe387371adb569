"""What the scripts of caches answer, taken apart.

Whoever has the store can make it answer anything.  What is not of the shape
that was asked for is an ``OddReply``.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from proxy.stores.pipe import StoreDown

SALT: Final = 32

_NUMBER: Final = re.compile(rb"\d{1,15}")
_IDENT: Final = re.compile(rb"(\d{1,20})-(\d{1,20})")
_ROUTE: Final = b"r:"


class OddReply(StoreDown):
    """The store answered, but not what it was asked."""


class State(NamedTuple):
    """Of all caches: epochs by route, the generation, and fields that could not be read."""

    epochs: dict[str, int]
    generation: bytes
    odd: int


class Page(NamedTuple):
    """Questions (entry, name, sealed); the first and last entry looked at (b"": none)."""

    rows: list[tuple[bytes, bytes, bytes]]
    first: bytes = b""
    last: bytes = b""
    is_more: bool = False
    odd: int = 0


class Drops(NamedTuple):
    """Answers that were purged (scope, name), the last entry (b"": none), and whether
    these are all since.
    """

    rows: list[tuple[str, bytes]]
    last: bytes
    is_all: bool
    odd: int


def order(ident: bytes) -> tuple[int, int]:
    """Where a stream's entry stands; b"" is before the first."""
    found = _IDENT.fullmatch(ident)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def kept_of(reply: Any, number: int) -> tuple[bytes, bool, list[Any]]:
    """Salt, whether the lease is ours, ``number`` answers: bytes, ``None``, or something odd."""
    if not isinstance(reply, list) or len(reply) != number + 2:
        raise OddReply("not what was asked for")
    salt, lease = reply[0], reply[1]
    if not isinstance(salt, bytes) or len(salt) != SALT or lease not in (0, 1):
        raise OddReply("no salt and lease")
    return salt, bool(lease), reply[2:]


def state_of(reply: Any) -> State:
    """Epochs and generation; fields that no replica writes are counted and left out."""
    match reply:
        case [bytes() as generation, int() as odd, *pairs]:
            pass
        case _:
            raise OddReply("no state")
    epochs: dict[str, int] = {}
    for i in range(0, len(pairs), 2):
        match pairs[i : i + 2]:
            case [bytes() as field, bytes() as value] if field.startswith(
                _ROUTE
            ) and _NUMBER.fullmatch(value):
                # No route's name has what is replaced here.
                epochs[field[len(_ROUTE) :].decode("utf-8", "replace")] = int(value)
            case _:
                odd += 1
    return State(epochs, generation, max(0, odd))


def page_of(reply: Any) -> Page:
    """Questions of a frame; rows that are none are counted and left out."""
    match reply:
        case [int() as more, int() as odd, bytes() as first, bytes() as last, *words]:
            pass
        case _:
            raise OddReply("no questions")
    if any(ident and not _IDENT.fullmatch(ident) for ident in (first, last)):
        raise OddReply("no entries of a stream")
    rows = []
    for i in range(0, len(words), 3):
        match words[i : i + 3]:
            case [bytes() as ident, bytes() as name, bytes() as told] if _IDENT.fullmatch(ident):
                rows.append((ident, name, told))
            case _:
                odd += 1
    return Page(rows, first, last, more == 1, max(0, odd))


def drops_of(reply: Any) -> Drops:
    """Answers that were purged; rows that are none are counted and left out."""
    match reply:
        case [bytes() as last, int() as is_all, int() as odd, *words]:
            pass
        case _:
            raise OddReply("no purges")
    if last and not _IDENT.fullmatch(last):
        raise OddReply("no entry of a stream")
    rows = []
    for i in range(0, len(words), 2):
        match words[i : i + 2]:
            case [bytes() as scope, bytes() as name] if name:
                rows.append((scope.decode("utf-8", "replace"), name))
            case _:
                odd += 1
    return Drops(rows, last, is_all == 1, max(0, odd))
