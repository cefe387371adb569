"""Places for requests that outlast their clients are shared among tenants, whatever they do."""

from asyncio import Event
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.fills import MAX_LEFT, Flights
from proxy.core.flight import Flight
from tests.kit import exchange

MANY = 9
"""Tenants without whom the places are never all taken: each takes half of what is free."""


def left_by(tenant):
    x = exchange()
    x.tenant = tenant
    return Flight(x, Event, 1000)


def take_all(flights, tenant):
    """Leave requests of ``tenant`` until one is refused; those that go on."""
    taken = []
    while flights.outlasts(one := left_by(tenant)):
        taken.append(one)
    return taken


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["leave", "leave", "leave", "join", "end", "refresh"]),
            st.integers(0, 11),
            st.integers(1, 200),
            st.integers(0, 300),
        ),
        max_size=60,
    )
)
def test_no_tenant_without_a_place_is_refused_while_few_others_have_them(steps):
    flights, going, refreshes = Flights(), [], 0
    for what, who, times, which in steps:
        for _ in range(times):
            if what == "refresh":
                flights.leave(left_by(str(who)))
                refreshes += 1
                continue
            if what != "leave":
                if going:
                    one = going.pop(which % len(going))
                    flights.joined(one) if what == "join" else flights.drop(b"", one)
                continue
            held = Counter(one.x.tenant for one in going)
            if flights.outlasts(one := left_by(str(who))):
                assert held[str(who)] < MAX_LEFT / 2
                going.append(one)
            else:
                # What has a place is shared out, or it holds as many as are free.
                assert held[str(who)] >= MAX_LEFT - len(going)
                assert held[str(who)] or len(held) >= MANY
        assert len(going) <= MAX_LEFT
        assert flights.left == len(going) + refreshes


@pytest.mark.parametrize(("tenants", "least"), [(1, 128), (2, 85), (7, 32), (50, 5), (255, 1)])
def test_places_that_become_free_make_shares_even(tenants, least):
    """However greedy the first was: as its requests end, others come to as many."""
    flights, held = Flights(), {str(i): [] for i in range(tenants)}
    for _ in range(400):
        for tenant, taken in held.items():
            if taken:
                flights.drop(b"", taken.pop())
            taken.extend(take_all(flights, tenant))
    shares = sorted(map(len, held.values()))

    assert shares[0] >= least - 1
    assert shares[-1] <= least + 1
