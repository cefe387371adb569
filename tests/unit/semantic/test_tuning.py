import struct
from operator import attrgetter

import pytest

from proxy.rules.evidence import upper_bound
from proxy.semantic.agreement import cosine
from proxy.semantic.pairs import Pair
from proxy.semantic.tuning import (
    LEAST,
    MOST_FALSE,
    Judged,
    Row,
    advice,
    lowest,
    rows,
    thresholds,
    worst,
)


def judged(*told):
    """Pairs by whether they are the same, their cosine, and what the guard says, also
    where it forgives.
    """
    return [
        Judged(Pair("a", str(i), same), near, why, why * (why == "numbers"))
        for i, (same, near, why) in enumerate(told)
    ]


def alone(_):
    return ""


GUARDED, FORGIVEN = attrgetter("why"), attrgetter("unforgiven")


SEEN = judged(
    (True, 0.99, ""), (True, 0.95, "numbers"), (True, 0.90, ""), (True, 0.70, ""),
    (False, 0.97, "numbers"), (False, 0.92, ""), (False, 0.30, ""), (False, 0.20, ""),
)  # fmt: skip


def test_counts_what_each_threshold_takes_for_the_same():
    (row,) = rows(SEEN, [0.9], alone)

    assert (row.hits, row.same, row.false_hits, row.different) == (3, 4, 2, 4)
    assert (row.recall, row.false_rate, row.precision) == (0.75, 0.5, 0.6)
    assert row.false_bound == pytest.approx(0.9024, abs=1e-4)


def test_the_guard_takes_away_hits_and_false_hits():
    (row,) = rows(SEEN, [0.9], GUARDED)

    assert (row.hits, row.same, row.false_hits, row.different) == (2, 4, 1, 4)


def test_what_is_forgiven_comes_back():
    seen = [*SEEN, *judged((True, 0.95, "words"), (False, 0.93, "qualifier"))]
    (row,) = rows(seen, [0.9], FORGIVEN)

    assert (row.hits, row.same, row.false_hits, row.different) == (3, 5, 2, 5)


def test_shares_of_nothing_are_none():
    (row,) = rows(judged((True, 0.5, "")), [0.9], alone)
    (other,) = rows(judged((False, 0.5, "")), [0.9], alone)

    assert (row.recall, row.false_rate, row.precision) == (0.0, None, None)
    assert (other.recall, other.false_rate, other.precision) == (None, 0.0, None)


def test_the_lowest_threshold_is_the_first_with_few_false_hits():
    at = [0.8, 0.93, 0.98]

    assert lowest(rows(SEEN, at, GUARDED)).threshold == 0.93
    assert lowest(rows(SEEN, at, alone)).threshold == 0.98
    assert lowest(rows(SEEN, at[:1], GUARDED)) is None
    assert lowest(rows(judged((True, 0.5, "")), at, GUARDED)) is None


def test_the_worst_are_different_pairs_that_look_alike():
    assert [one.cosine for one in worst(SEEN, 2)] == [0.97, 0.92]
    assert [*worst(SEEN, 0)] == []


def test_the_range_has_both_its_ends():
    assert thresholds(0.7, 0.99, 0.01)[::29] == [0.7, 0.99]
    assert thresholds(0.7, 0.75, 0.02) == [0.7, 0.72, 0.74]
    assert thresholds(1, 1, 0.5) == [1]


@pytest.mark.parametrize("bad", [(0, 1, 0.1), (0.9, 0.8, 0.1), (0.5, 1.1, 0.1), (0.5, 1, 0),
                                 (float("nan"), 1, 0.1), (0.5, 1, 1e-9)])  # fmt: skip
def test_no_range_is_refused(bad):
    with pytest.raises(ValueError, match=r"thresholds go|a step is|--from 0.9 is above --to 0.8"):
        thresholds(*bad)


def test_the_cosine_is_of_unit_vectors():
    one, other = (struct.pack("<2f", *values) for values in ((0.6, 0.8), (0.8, 0.6)))

    assert cosine(one, one) == pytest.approx(1)
    assert cosine(one, other) == pytest.approx(0.96)


def test_so_few_pairs_prove_nothing_and_no_threshold_is_named():
    assert upper_bound(0, LEAST) < MOST_FALSE < upper_bound(0, LEAST - 1)
    assert advice([Row(0.9, 5, 5, 0, LEAST - 1)]).startswith("not known: 58 different pairs prove")
    assert advice([Row(0.9, 5, 5, 0, 0)]) == "not known: all pairs are the same"


def test_enough_pairs_name_a_threshold_and_what_they_prove():
    table = [Row(0.8, 6, 6, 9, LEAST), Row(0.9, 5, 6, 0, LEAST)]

    assert advice(table) == (
        "0.9: 5 of 6 same, 0 of 59 different (0.0%; with 95% confidence below 5.0%)"
    )
    assert advice([Row(0.9, 0, 6, 0, 59)]).endswith("; it would serve nothing")
    assert advice([Row(0.9, 5, 6, 9, 59)]) == "none of these"
