"""What a limit is in whole numbers, and which window an instant is in.

The arithmetic of rates and calendars that ``buckets`` and its twin in Lua are
built on; nothing here keeps a count.
"""

from __future__ import annotations

import hashlib
import math
import re
from functools import lru_cache
from typing import Final, NamedTuple

from proxy.core.ledger import Limit

RATE: Final = 1
WINDOW: Final = 2
SLOT: Final = 3
DAY: Final = 1
MONTH: Final = 2

SECOND_US: Final = 1_000_000
DAY_US: Final = 86400 * SECOND_US
MAX_LEVEL: Final = 2**50
"""Ticks that fit a double with room to divide without a rounding error."""
_MIN_SPEED: Final = 256
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./@+-]{1,80}")


class Line(NamedTuple):
    """One counter, ready to count.

    Of a rate ``a`` is ticks a unit, ``speed`` ticks a microsecond and ``cap``
    the burst in ticks.  Of a window ``a`` is ``DAY`` or ``MONTH``.  Of a slot
    only ``cap`` matters.
    """

    kind: int
    a: int
    speed: int
    cap: int
    counter: str


@lru_cache(maxsize=8192)
def line_of(limit: Limit, scope: str) -> Line:
    """The counter of ``limit`` for ``scope``.

    Raises ``ValueError`` for a burst that is out of all proportion to its rate.
    """
    counter = counter_name(scope, limit.name)
    if limit.kind == "slot":
        return Line(SLOT, 0, 0, limit.cap, counter)
    if limit.kind != "rate":
        return Line(WINDOW, DAY if limit.per == "day" else MONTH, 0, limit.cap, counter)
    time = limit.seconds * SECOND_US
    common = math.gcd(limit.amount, time)
    unit, speed = time // common, limit.amount // common
    while limit.cap * unit > MAX_LEVEL:
        # A crooked rate with a huge burst: coarser ticks, always a little slower.
        if speed < _MIN_SPEED:
            raise ValueError(f"{limit.name}: the burst is too large for so slow a rate")
        unit, speed = -(-unit // 2), speed // 2
    # A rate that changes changes its ticks, so it must not find the old level.
    return Line(RATE, unit, speed, limit.cap * unit, f"{counter}@{speed}/{unit}")


def counter_name(scope: str, name: str) -> str:
    """``scope:name``, with no other colon.

    A part that is not plain, short ASCII goes by its digest.
    """
    return f"{_plain(scope)}:{_plain(name)}"


def _plain(text: str) -> str:
    if _PLAIN.fullmatch(text):
        return text
    return "~" + hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()


def default_burst(amount: int, seconds: int, largest: int = 0) -> int:
    """How much of ``amount`` per ``seconds`` may come at once.

    Ten seconds of the rate, but at least ten (or the whole of a limit below
    ten, so that 5 a minute lets five through) and at least ``largest``, the
    most that one request can take.
    """
    return max(amount * 10 // seconds, min(amount, 10), largest)


def window_of(per: int, now: int) -> tuple[int, int]:
    """The number of the day or month (UTC) that ``now`` is in, and its end."""
    day = now // DAY_US
    if per == DAY:
        return day, (day + 1) * DAY_US
    month = _month_of(day)
    return month, _first_day(month + 1) * DAY_US


@lru_cache(maxsize=64)
def _month_of(day: int) -> int:
    """Months since year 0, by days since 1970.

    Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms",
    ``civil_from_days``: years begin in March, so that a leap day is the last.
    """
    z = day + 719468
    era, doe = divmod(z, 146097)
    yoe = (doe - doe // 1460 + doe // 36524 - doe // 146096) // 365
    mp = (5 * (doe - (365 * yoe + yoe // 4 - yoe // 100)) + 2) // 153
    return (yoe + era * 400) * 12 + mp + 2


@lru_cache(maxsize=64)
def _first_day(month: int) -> int:
    """Days from 1970 to the first of ``month``; ``days_from_civil`` of the same."""
    year, mp = divmod(month - 2, 12)
    era, yoe = divmod(year, 400)
    doe = yoe * 365 + yoe // 4 - yoe // 100 + (153 * mp + 2) // 5
    return era * 146097 + doe - 719468
