"""Settling: exactly once, however an exchange ended."""

import pytest

from proxy.core.ledger import Charge, Limit
from proxy.rules.buckets import Book, reserve
from proxy.rules.counters import line_of
from proxy.rules.settlement import FORGET_US, forget_gone, settle, sweep

S = 1_000_000
NOW = 1_800_000_000 * S
TOKENS = line_of(Limit(name="tokens", kind="rate", cap=100, amount=60, seconds=60), "tenant")
DAY = line_of(Limit(name="day", kind="window", cap=1000), "tenant")
SLOT = line_of(Limit(name="slot", kind="slot", cap=2), "tenant")
ALL = (TOKENS, DAY, SLOT)
TODAY = NOW // 86_400_000_000


def taken(amount=50, ttl=10 * S):
    book = Book("t")
    reserve(book, NOW, "l", [(c, amount) for c in ALL], ttl, b"estimate")
    return book


def left(book, now=NOW):
    return reserve(book, now, "", [(c, 0) for c in ALL]).remaining


def actual(amount):
    return [(c, amount) for c in ALL]


def test_the_difference_is_given_back_and_the_row_says_what_was_used():
    book = taken(50)

    row = settle(book, NOW, "l", actual(20), b"used")

    assert left(book) == [80, 980, 2]
    assert (row.state, row.charges, row.record) == (
        "settled",
        (Charge("tenant:day", TODAY, 20),),
        b"used",
    )


def test_a_second_settlement_does_nothing():
    book = taken(50)
    settle(book, NOW, "l", actual(20), b"used")

    again = settle(book, NOW, "l", actual(20), b"used", born=book.born)

    assert again is None
    assert left(book) == [80, 980, 2]


def test_what_has_drained_is_not_given_back():
    """Half of the charge has drained when it turns out that nothing was used."""
    book = taken(50)

    settle(book, NOW + 25 * S, "l", actual(0), b"")

    assert left(book, NOW + 25 * S)[0] == 100
    assert reserve(book, NOW + 25 * S, "m", [(TOKENS, 100)]).denied == -1
    assert reserve(book, NOW + 25 * S, "n", [(TOKENS, 1)]).wait == S


def test_a_refund_never_takes_from_what_came_later():
    """Two guesses are given back around a real charge, when both have all but drained."""
    book = Book("t")
    reserve(book, NOW, "guess 1", [(TOKENS, 50)])
    reserve(book, NOW, "guess 2", [(TOKENS, 50)])
    settle(book, NOW, "guess 1", [(TOKENS, 0)], b"")
    reserve(book, NOW + 49 * S, "real", [(TOKENS, 50)])

    settle(book, NOW + 50 * S, "guess 2", [(TOKENS, 0)], b"")

    assert reserve(book, NOW + 50 * S, "", [(TOKENS, 0)]).remaining == [50]


def test_a_lease_from_before_the_cell_was_empty_has_nothing_to_get_back():
    book = taken(50)
    reserve(book, NOW + 60 * S, "later", [(TOKENS, 70)])

    settle(book, NOW + 60 * S, "l", actual(0), b"")

    assert left(book, NOW + 60 * S)[0] == 30


def test_a_day_that_is_over_is_not_set_right_in_the_next():
    book = taken(50)
    tomorrow = (TODAY + 1) * 86_400_000_000
    reserve(book, tomorrow, "m", [(DAY, 5)])

    row = settle(book, tomorrow, "l", actual(20), b"used")

    assert row.charges == (Charge("tenant:day", TODAY, 20),)
    assert left(book, tomorrow)[1] == 995


def test_what_nobody_settles_keeps_its_estimate_and_frees_its_slot():
    book = taken(50, ttl=10 * S)

    rows = sweep(book, NOW + 10 * S)

    assert [(r.state, r.charges, r.record) for r in rows] == [
        ("abandoned", (Charge("tenant:day", TODAY, 50),), b"estimate")
    ]
    assert left(book)[1:] == [950, 2]
    assert sweep(book, NOW + 11 * S) == []


def test_an_abandoned_lease_is_still_set_right_once():
    book = taken(50, ttl=S)
    sweep(book, NOW + S)

    row = settle(book, NOW + S, "l", actual(20), b"used")
    again = settle(book, NOW + S, "l", actual(20), b"used", born=book.born)

    assert (row.state, row.charges[0].amount) == ("settled", 20)
    assert again is None
    assert left(book)[1] == 980


def test_nothing_used_after_all_takes_an_abandoned_row_back():
    book = taken(50, ttl=S)
    sweep(book, NOW + S)

    row = settle(book, NOW + S, "l", actual(0), b"")

    assert row.charges[0].amount == 0
    assert left(book)[1] == 1000


def test_nothing_used_and_nothing_to_say_leaves_no_row():
    assert settle(taken(50), NOW, "l", actual(0), b"") is None


def test_a_lease_that_the_book_never_saw_is_charged_once():
    """It was granted while the store was down."""
    book = Book("t")

    row = settle(book, NOW, "l", actual(20), b"used")
    again = settle(book, NOW, "l", actual(20), b"used", born=0)

    assert (row.state, row.charges) == ("late", (Charge("tenant:day", TODAY, 20),))
    assert again is None
    assert left(book) == [100, 980, 2]


@pytest.mark.parametrize(("born", "state"), [(NOW - 1, "late"), (NOW, None), (0, None)])
def test_only_a_lost_book_is_charged_again_for_what_may_have_been_settled(born, state):
    """The book now here began at NOW; the settlement may have reached ``born``'s."""
    book = Book("t", born=NOW)

    row = settle(book, NOW, "l", actual(20), b"used", born=born)

    assert (row and row.state) == state


def test_a_reservation_that_comes_after_its_own_settlement_takes_nothing():
    """It lay in the socket of a frozen server."""
    book = Book("t")
    settle(book, NOW, "l", actual(20), b"used")

    reserve(book, NOW, "l", [(c, 50) for c in ALL], 10 * S)

    assert left(book) == [100, 980, 2]
    assert book.leases == {}


def test_the_memory_of_what_is_gone_ends():
    book = taken(50, ttl=S)
    sweep(book, NOW + S)

    forget_gone(book, NOW + S + FORGET_US - 1)
    kept = set(book.gone)
    forget_gone(book, NOW + S + FORGET_US)

    assert kept == {"l"}
    assert book.gone == {}
