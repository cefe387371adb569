"""Settlements and a store that takes them, refuses them, or is not there."""

import logging

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.stores.outbox import LATE, MAX_IN_FLIGHT, MAX_REFUSALS, Outbox
from proxy.stores.pipe import StoreDown, Unanswered

DOWN, LOST, REFUSED = StoreDown("down"), Unanswered("lost"), hiredis.ReplyError("ERR no")


class Store:
    """Keeps what was sent until a test answers it."""

    def __init__(self):
        self.is_up = True
        self.sent = []
        self.done = []

    def run(self, script, key, args, done):
        self.sent.append((key, args))
        self.done.append(done)

    def answer(self, reply):
        self.done.pop(0)(reply)


@pytest.fixture
def store():
    return Store()


def box_of(store, **more):
    return Outbox(store, "settle", **more)


def test_a_settlement_that_was_never_sent_is_sent_as_the_first(store):
    """Only one that may have arrived says in which book its lease stood."""
    box = box_of(store)
    box.put(b"k", ("lease",), 5)
    store.answer(DOWN)
    box.flush()
    store.answer(LOST)
    box.flush()
    store.answer(1)

    assert [args for _, args in store.sent] == [("lease", ""), ("lease", ""), ("lease", "5")]
    assert (box.delivered, box.waiting, box.in_flight, box.lost) == (1, 0, 0, 0)


def test_one_that_is_charged_without_its_reservation_is_late(store):
    box = box_of(store)
    box.put(b"k", (), 0)
    store.answer(LATE)

    assert (box.delivered, box.late) == (1, 1)


def test_one_that_the_store_refuses_is_tried_so_often_and_then_lost(store, caplog):
    box = box_of(store)
    box.put(b"k", ("lease",), 7)
    for _ in range(MAX_REFUSALS - 1):
        store.answer(REFUSED)
        assert (box.waiting, box.lost) == (1, 0)
        box.flush()
    with caplog.at_level(logging.ERROR):
        store.answer(REFUSED)

    # Some of a refused script may have been written: it is no first any more.
    assert [args[-1] for _, args in store.sent] == [""] + ["7"] * (MAX_REFUSALS - 1)
    assert (box.waiting, box.in_flight, box.lost, box.delivered) == (0, 0, 1, 0)
    assert len(caplog.messages) == 1


def test_one_that_is_never_taken_does_not_keep_the_others_waiting(store):
    box = box_of(store)
    box.put(b"bad", (), 0)
    store.answer(DOWN)
    box.put(b"good", (), 0)
    store.answer(1)

    # The store has answered: what waited is under way again.
    assert [key for key, _ in store.sent] == [b"bad", b"good", b"bad"]


def test_nothing_is_sent_to_a_store_that_is_down_only_because_one_was_answered(store):
    box = box_of(store)
    box.put(b"a", (), 0)
    store.answer(DOWN)
    box.put(b"b", (), 0)
    store.is_up = False
    store.answer(1)

    assert (len(store.sent), box.waiting) == (2, 1)


def test_only_so_many_are_under_way_and_the_others_follow(store):
    box = box_of(store)
    for _ in range(MAX_IN_FLIGHT + 3):
        box.put(b"k", (), 0)
    assert (box.in_flight, box.waiting) == (MAX_IN_FLIGHT, 3)

    for _ in range(MAX_IN_FLIGHT + 3):
        store.answer(1)
        assert box.in_flight <= MAX_IN_FLIGHT

    assert (box.delivered, box.in_flight, box.waiting) == (MAX_IN_FLIGHT + 3, 0, 0)


def test_what_the_box_cannot_hold_is_lost_counted_and_told_once_an_outage(store, caplog):
    box = box_of(store, limit=2)
    with caplog.at_level(logging.ERROR):
        for _ in range(5):
            box.put(b"k", (), 0)
            store.answer(DOWN)
        assert (box.waiting, box.lost, len(caplog.messages)) == (2, 3, 1)
        box.flush()
        store.answer(1)
        store.answer(1)
        for _ in range(3):
            box.put(b"k", (), 0)
            store.answer(DOWN)

    assert (box.delivered, box.waiting, box.lost, len(caplog.messages)) == (2, 2, 4, 2)


@given(st.lists(st.sampled_from(["put", "flush", 1, LATE, DOWN, LOST, REFUSED]), max_size=200))
def test_every_settlement_is_waiting_under_way_delivered_or_lost(steps):
    store = Store()
    box = box_of(store, limit=4)
    put = 0
    for step in steps:
        if step == "put":
            box.put(b"k", (), 0)
            put += 1
        elif step == "flush":
            box.flush()
        elif store.done:
            store.answer(step)

        assert box.waiting + box.in_flight + box.delivered + box.lost == put
        assert box.in_flight == len(store.done)
        assert box.late <= box.delivered
