from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.rules.evidence import lower_bound, upper_bound


@st.composite
def counts(draw, most=60):
    of = draw(st.integers(1, most))
    return draw(st.integers(0, of)), of


confidences = st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99])


def at_most(k, n, p):
    """The same by fractions, which do not round."""
    return sum(comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1))


@pytest.mark.parametrize(
    ("wrong", "of", "bound"),
    [(0, 1, 0.95), (0, 10, 0.2589), (0, 100, 0.0295), (5, 100, 0.1023), (1, 20, 0.2161), (0, 299, 0.01)],
)  # fmt: skip
def test_agrees_with_published_tables(wrong, of, bound):
    assert upper_bound(wrong, of) == pytest.approx(bound, abs=6e-5)


def test_nothing_tried_proves_nothing():
    assert upper_bound(0, 0) == 1.0
    assert lower_bound(0, 0) == 0.0


def test_all_failed_leaves_no_upper_bound_and_none_succeeded_no_lower():
    assert upper_bound(7, 7) == 1.0
    assert lower_bound(0, 7) == 0.0


@given(counts(), confidences)
def test_the_bound_is_where_so_few_failures_become_unlikely(counted, confidence):
    wrong, of = counted
    bound = upper_bound(wrong, of, confidence)

    if wrong < of:
        assert float(at_most(wrong, of, Fraction(bound))) == pytest.approx(1 - confidence)


@given(counts(), confidences)
def test_the_share_seen_lies_between_the_bounds(counted, confidence):
    wrong, of = counted

    assert lower_bound(wrong, of, 0.95) <= wrong / of <= upper_bound(wrong, of, 0.95)
    assert lower_bound(wrong, of, confidence) == pytest.approx(
        1 - upper_bound(of - wrong, of, confidence)
    )


@given(counts(), st.integers(2, 50))
def test_more_trials_with_the_same_share_prove_more(counted, times):
    wrong, of = counted

    assert upper_bound(wrong * times, of * times) <= upper_bound(wrong, of)


@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_holds_for_many_trials(wrong, of):
    wrong = min(wrong, of)

    assert wrong / of <= upper_bound(wrong, of) <= 1.0


@pytest.mark.parametrize(("wrong", "of", "confidence"), [(-1, 5, 0.9), (6, 5, 0.9), (1, 5, 1.0)])
def test_refuses_what_is_no_count(wrong, of, confidence):
    with pytest.raises(ValueError, match=r"from 0|above 0"):
        upper_bound(wrong, of, confidence)
