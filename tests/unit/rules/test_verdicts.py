"""Verdicts are remembered by text, and forgotten in time."""

from proxy.core.judging import PASS, Said, Verdict
from proxy.rules.verdicts import Open, Verdicts
from tests.kit import FakeClock

ONE, TWO, BAD = Said("user", "one"), Said("assistant", "two"), Said("user", "bad")


def kept(*, most=100):
    clock = FakeClock()
    return clock, Verdicts(b"k" * 32, clock.now, most)


def test_only_what_is_new_is_open():
    _, verdicts = kept()
    first = verdicts.recall(b"g", (ONE, TWO))
    verdicts.keep(first, PASS, 60)

    assert first.texts == (ONE, TWO)
    assert verdicts.recall(b"g", (ONE, TWO)) == PASS
    assert verdicts.recall(b"g", (ONE, TWO, BAD)).texts == (BAD,)
    assert verdicts.recall(b"other guard", (ONE,)).texts == (ONE,)
    assert verdicts.recall(b"g", (Said("tool", "one"),)).texts == (Said("tool", "one"),)


def test_what_was_bad_together_is_not_bad_alone():
    _, verdicts = kept()
    verdicts.keep(verdicts.recall(b"g", (ONE, BAD)), Verdict("x"), 60)

    assert verdicts.recall(b"g", (ONE, BAD)) == Verdict("x")
    assert isinstance(verdicts.recall(b"g", (ONE,)), Open)


def test_verdicts_end_with_their_time_and_failures_are_not_kept():
    clock, verdicts = kept()
    verdicts.keep(verdicts.recall(b"g", (ONE,)), PASS, 60)
    verdicts.keep(verdicts.recall(b"g", (TWO,)), Verdict(failure="timeout"), 60)
    verdicts.keep(verdicts.recall(b"g", (BAD,)), PASS, 0)
    clock.advance(59)

    assert verdicts.recall(b"g", (ONE,)) == PASS
    assert isinstance(verdicts.recall(b"g", (TWO,)), Open)
    assert isinstance(verdicts.recall(b"g", (BAD,)), Open)
    clock.advance(2)
    assert isinstance(verdicts.recall(b"g", (ONE,)), Open)


def test_the_oldest_are_forgotten_first_and_no_text_is_kept():
    _, verdicts = kept(most=10)
    for i in range(50):
        verdicts.keep(verdicts.recall(b"g", (Said("user", f"text {i}"),)), PASS, 60)

    assert len(verdicts._kept) == 10
    assert isinstance(verdicts.recall(b"g", (Said("user", "text 39"),)), Open)
    assert verdicts.recall(b"g", (Said("user", "text 49"),)) == PASS
    assert b"text" not in b"".join(verdicts._kept)
