"""The ``x-ratelimit-*`` headers that OpenAI's clients and people read.

``limit`` is what the configuration allows in its time, ``remaining`` what
would pass right now, ``reset`` how long until all of it would.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil
from typing import Final, Literal

Kind = Literal["requests", "tokens"]

_NAMES: Final = {
    kind: tuple(f"x-ratelimit-{part}-{kind}".encode() for part in ("limit", "remaining", "reset"))
    for kind in ("requests", "tokens")
}
PREFIX: Final = b"x-ratelimit-"
_X: Final = 120


def limit_headers(
    told: Iterable[tuple[Kind, tuple[int, ...]]],
    limits: Sequence[int],
    remaining: Sequence[int],
    reset_s: Sequence[float],
) -> list[tuple[bytes, bytes]]:
    """Three headers of each kind, of the limit that is nearest to its end.

    ``told`` says of each kind which of the limits are of it.
    """
    made: list[tuple[bytes, bytes]] = []
    for kind, places in told:
        at = places[0] if len(places) == 1 else min(places, key=remaining.__getitem__)
        of_limit, of_remaining, of_reset = _NAMES[kind]
        made += (
            (of_limit, b"%d" % limits[at]),
            (of_remaining, b"%d" % remaining[at]),
            (of_reset, duration(reset_s[at])),
        )
    return made


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
    for name, _ in headers:
        # Most do not begin with an x.
        if name[0] | 32 == _X and name[:12].lower() == PREFIX:
            return [pair for pair in headers if pair[0][:12].lower() != PREFIX]
    return headers
