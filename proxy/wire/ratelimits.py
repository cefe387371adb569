"""The ``x-ratelimit-*`` headers that OpenAI's clients and people read.

``limit`` is what the configuration allows in its time, ``remaining`` what
would pass right now, ``reset`` how long until all of it would.
"""

from __future__ import annotations

from math import ceil
from typing import Final, Literal

Kind = Literal["requests", "tokens"]

_NAMES: Final = {
    kind: tuple(f"x-ratelimit-{part}-{kind}".encode() for part in ("limit", "remaining", "reset"))
    for kind in ("requests", "tokens")
}
PREFIX: Final = b"x-ratelimit-"


def limit_headers(
    kind: Kind, limit: int, remaining: int, reset_s: float
) -> list[tuple[bytes, bytes]]:
    """The three headers of one kind."""
    names = _NAMES[kind]
    return [
        (names[0], b"%d" % limit),
        (names[1], b"%d" % remaining),
        (names[2], duration(reset_s)),
    ]


def duration(seconds: float) -> bytes:
    """As OpenAI writes it: ``120ms``, ``6s``, ``6m0s``, ``2h30m0s``; rounded up."""
    if seconds < 1:
        return b"%dms" % ceil(seconds * 1000)
    if seconds < 60:
        whole = ceil(seconds * 1000)
        return (b"%d.%03d" % divmod(whole, 1000)).rstrip(b"0").rstrip(b".") + b"s"
    minutes, rest = divmod(ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return b"%dh%dm%ds" % (hours, minutes, rest) if hours else b"%dm%ds" % (minutes, rest)


def without_limits(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """An upstream's headers less its own limits, which are not the tenant's."""
    return [pair for pair in headers if not pair[0].lower().startswith(PREFIX)]
