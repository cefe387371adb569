"""The billing ledger added up."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.rules.usage import Tally

DAY = 86400


def entry(**fields):
    return {"time": 20_000 * DAY, "tenant": "acme", "user": "u1", "model": "m", "in": 10, "cached": 2,
            "out": 5, "nanos": 1000, "estimated": False} | fields  # fmt: skip


def test_sums_by_names_dearest_first():
    tally = Tally(["tenant", "model"])
    tally.add("1", "settled", entry())
    tally.add("2", "settled", entry(model="dear", nanos=9000))
    tally.add("3", "settled", entry(out=6))

    (first, _), (second, totals) = tally.rows()
    assert (first, second) == (("acme", "dear"), ("acme", "m"))
    assert (totals.requests, totals.input, totals.cached, totals.output) == (2, 20, 4, 11)
    assert tally.total.nanos == 11_000


def test_days_come_in_their_order():
    tally = Tally(["day"])
    tally.add("1", "settled", entry(time=20_001 * DAY + 5, nanos=1))
    tally.add("2", "settled", entry(time=20_000 * DAY, nanos=9))

    assert [group for group, _ in tally.rows()] == [("2024-10-04",), ("2024-10-05",)]


def test_a_time_without_its_end_and_only_one_tenant():
    tally = Tally(["tenant"], 20_000 * DAY, 20_001 * DAY, {"tenant": "acme"})
    tally.add("1", "settled", entry())
    tally.add("2", "settled", entry(time=20_001 * DAY))
    tally.add("3", "settled", entry(tenant="b"))

    assert tally.total.requests == 1


def test_an_abandoned_request_that_is_settled_later_counts_once():
    tally = Tally(["state"])
    tally.add("1", "abandoned", entry(out=500))
    tally.add("1", "settled", entry(out=3))
    tally.add("2", "late", entry())
    tally.add("2", "late", entry())

    assert tally.total.requests == 2
    assert tally.total.output == 8
    assert {group[0] for group, _ in tally.rows()} == {"settled", "late"}


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcd"),
            st.sampled_from(["abandoned", "late", "settled"]),
            st.integers(0, 99),
        ),
        max_size=30,
    )
)
def test_the_last_row_of_a_lease_is_what_counts(rows):
    """However often a lease is abandoned, late or settled."""
    tally = Tally(["tenant"])
    final, settled = {}, Counter()
    for lease, state, out in rows:
        if state == "settled" and lease not in final:
            settled[lease] += out  # a lease is settled once; two rows are two requests
            tally.add(lease, state, entry(out=out))
            continue
        tally.add(lease, state, entry(out=out))
        if state == "settled":
            settled[lease] += out
            del final[lease]
        else:
            final[lease] = out

    assert tally.total.output == sum(final.values()) + sum(settled.values())


@pytest.mark.parametrize("odd", [{}, {"time": "x"}, {"time": None, "in": "x"}])
def test_what_is_no_entry_counts_nothing(odd):
    tally = Tally(["tenant"])
    tally.add("1", "settled", odd)

    assert tally.rows() == []


def test_an_unknown_dimension_is_refused():
    with pytest.raises(ValueError, match="'colour' is not one of tenant"):
        Tally(["colour"])
