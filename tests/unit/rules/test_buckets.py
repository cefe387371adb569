"""Admission: exact boundaries, whole denials, honest waits."""

from proxy.core.ledger import Limit
from proxy.rules.buckets import Book, reserve
from proxy.rules.counters import line_of
from proxy.rules.settlement import extend, settle, sweep

S = 1_000_000
NOW = 1_800_000_000 * S


def line(kind="rate", cap=5, amount=60, seconds=60, per="day", name=""):
    limit = Limit(name=name or kind, kind=kind, cap=cap, amount=amount, seconds=seconds, per=per)
    return line_of(limit, "tenant")


def test_a_burst_passes_at_once_and_the_next_waits_for_exactly_one():
    book, requests = Book("t"), line(cap=5)
    for i in range(5):
        assert reserve(book, NOW, f"l{i}", [(requests, 1)]).denied == -1

    refused = reserve(book, NOW, "l5", [(requests, 1)])
    too_soon = reserve(book, NOW + refused.wait - 1, "l5", [(requests, 1)])
    in_time = reserve(book, NOW + refused.wait, "l5", [(requests, 1)])

    assert (refused.denied, refused.wait) == (0, S)
    assert (too_soon.denied, too_soon.wait) == (0, 1)
    assert in_time.denied == -1


def test_a_denial_writes_nothing_for_any_claim():
    book = Book("t")
    claims = [(line(cap=5), 1), (line("window", cap=10), 11), (line("slot", cap=1), 1)]

    verdict = reserve(book, NOW, "l", claims)

    assert verdict.denied == 1
    assert verdict.remaining == [5, 10, 1]
    assert book == Book("t")


def test_the_claim_that_stands_longest_in_the_way_is_named():
    book = Book("t")
    claims = [(line("slot", cap=1), 1), (line(cap=5), 5), (line("window", cap=10), 10)]
    reserve(book, NOW, "first", claims)

    verdict = reserve(book, NOW, "l", [(c, 1) for c, _ in claims])

    assert verdict.denied == 2
    assert verdict.wait == verdict.reset[2]


def test_what_never_fits_says_so():
    book = Book("t")

    assert reserve(book, NOW, "a", [(line(cap=5), 6)]).wait == -1
    assert reserve(book, NOW, "b", [(line("money", cap=5), 6)]).wait == -1
    assert reserve(book, NOW, "c", [(line("window", cap=10), 11), (line(cap=5), 6)]).denied == 0


def test_a_lost_reply_asked_again_is_granted_and_charged_once():
    book, claims = Book("t"), [(line(cap=5), 2), (line("slot", cap=1), 1)]
    reserve(book, NOW, "l", claims, ttl=S)

    again = reserve(book, NOW, "l", claims, ttl=S)

    assert again.denied == -1
    assert again.remaining == [3, 0]


def test_a_look_takes_nothing():
    book, claims = Book("t"), [(line(cap=5), 2)]

    assert reserve(book, NOW, "", claims).remaining == [5]
    assert book == Book("t")


def test_a_window_rolls_with_the_calendar():
    book, day = Book("t"), line("window", cap=10)
    end = NOW + reserve(book, NOW, "a", [(day, 10)]).reset[0]

    assert reserve(book, end - 1, "b", [(day, 1)]).wait == 1
    assert reserve(book, end, "b", [(day, 1)]).remaining == [9]


def test_a_clock_that_goes_back_gives_nothing_away():
    """After a failover the new server's clock may be behind."""
    book, claims = Book("t"), [(line(cap=5), 5), (line("window", cap=10), 10)]
    reserve(book, NOW, "a", claims)

    assert reserve(book, NOW - 86400 * S, "b", [(c, 1) for c, _ in claims]).remaining == [0, 0]


def test_a_slot_frees_when_its_lease_runs_out_and_not_before():
    book, slot = Book("t"), line("slot", cap=1)
    reserve(book, NOW, "a", [(slot, 1)], ttl=10 * S)
    extend(book, NOW + 5 * S, "a", 10 * S)

    assert reserve(book, NOW + 15 * S - 1, "b", [(slot, 1)]).denied == 0
    assert reserve(book, NOW + 15 * S, "b", [(slot, 1)]).denied == -1


def test_an_extension_never_shortens_and_never_wakes_the_dead():
    book, slot = Book("t"), line("slot", cap=1)
    reserve(book, NOW, "a", [(slot, 1)], ttl=10 * S)

    assert extend(book, NOW, "a", S)
    assert reserve(book, NOW + 9 * S, "b", [(slot, 1)]).denied == 0
    assert not extend(book, NOW + 10 * S, "a", S)
    assert not extend(book, NOW, "unknown", S)


def test_debt_is_paid_before_anything_more_is_let_through():
    book, tokens = Book("t"), line(cap=100)
    reserve(book, NOW, "a", [(tokens, 10)])
    settle(book, NOW, "a", [(tokens, 250)], b"")

    verdict = reserve(book, NOW, "b", [(tokens, 1)])

    assert verdict.remaining == [0]
    assert verdict.wait == 151 * S


def test_sweeping_finds_leases_in_the_order_they_ran_out():
    book, day = Book("t"), line("window", cap=10)
    for at, lease in enumerate("abc"):
        reserve(book, NOW + at, lease, [(day, 1)], ttl=(3 - at) * S)

    rows = sweep(book, NOW + 2 * S + 1)

    assert [row.lease for row in rows] == ["c", "b"]
    assert [row.lease for row in sweep(book, NOW + 9 * S)] == ["a"]
