"""Limits as whole numbers, and the calendar."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.ledger import Limit
from proxy.rules.counters import (
    DAY,
    MAX_LEVEL,
    MONTH,
    RATE,
    SLOT,
    WINDOW,
    counter_name,
    default_burst,
    line_of,
    window_of,
)


def rate(amount, seconds, burst):
    return line_of(
        Limit(name="r", kind="rate", cap=burst, amount=amount, seconds=seconds), "tenant"
    )


@pytest.mark.parametrize(
    ("amount", "seconds", "largest", "burst"),
    [
        (5, 60, 0, 5),  # 5/min lets five through at once
        (12, 60, 0, 10),
        (600, 60, 0, 100),
        (200_000, 60, 0, 33_333),
        (20_000, 60, 32_000, 32_000),
        (1, 86400, 0, 1),
    ],
)
def test_the_default_burst_does_not_surprise(amount, seconds, largest, burst):
    assert default_burst(amount, seconds, largest) == burst


def test_a_usual_rate_has_small_ticks_and_a_crooked_one_exact_ones():
    assert rate(200_000, 60, 33_333)[:4] == (RATE, 300, 1, 33_333 * 300)
    assert rate(7, 60, 7)[:4] == (RATE, 60_000_000, 7, 420_000_000)


def test_a_crooked_rate_with_a_huge_burst_is_a_little_slower_never_faster():
    line = rate(999_999_937, 60, 166_000_000)

    assert line.cap <= MAX_LEVEL
    exact = 999_999_937 / 60_000_000
    assert 0.999 * exact < line.speed / line.a <= exact


def test_a_burst_out_of_all_proportion_is_refused():
    with pytest.raises(ValueError, match="the burst is too large for so slow a rate"):
        rate(1, 86400, 2**40)


def test_a_rate_that_changes_does_not_find_the_old_level():
    assert rate(600, 60, 10).counter != rate(700, 60, 10).counter
    assert rate(600, 60, 10).counter == rate(600, 60, 20).counter


def test_windows_and_slots_only_have_a_cap():
    day = line_of(Limit(name="d", kind="window", cap=9), "user/1")
    month = line_of(Limit(name="m", kind="money", cap=9, per="month"), "tenant")
    slot = line_of(Limit(name="s", kind="slot", cap=3), "tenant")

    assert day == (WINDOW, DAY, 0, 9, "user/1:d")
    assert month == (WINDOW, MONTH, 0, 9, "tenant:m")
    assert slot == (SLOT, 0, 0, 3, "tenant:s")


@pytest.mark.parametrize("scope", ["a b", "ü", "", "x" * 81, "a\nb", "{t}", "a:b"])
def test_a_scope_that_is_not_plain_goes_by_its_digest(scope):
    name = counter_name(scope, "tokens")

    assert scope == "" or scope not in name
    assert len(name) == 40
    assert name != counter_name(scope + "!", "tokens")


@given(st.integers(0, 4 * 10**15))
def test_windows_follow_the_calendar(now):
    """Up to the year 2096, against the standard library."""
    at = datetime.fromtimestamp(now // 1_000_000, UTC)
    day, day_end = window_of(DAY, now)
    month, month_end = window_of(MONTH, now)

    assert day == (at.date() - datetime(1970, 1, 1, tzinfo=UTC).date()).days
    assert day_end == (day + 1) * 86_400_000_000
    assert month == at.year * 12 + at.month - 1
    after = datetime(at.year + at.month // 12, at.month % 12 + 1, 1, tzinfo=UTC)
    assert month_end == int(after.timestamp()) * 1_000_000
