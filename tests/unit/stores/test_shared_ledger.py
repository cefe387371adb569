"""The shared ledger and a store that refuses, is silent, or answers one who has left."""

import asyncio
import logging

import hiredis
import pytest

from proxy.core.ledger import Claim, Limit, Settlement, order_of
from proxy.stores.pipe import StoreDown, Unanswered
from proxy.stores.redis import RedisLedger
from proxy.stores.scripts import load_scripts
from tests.kit import FakeClock

SCRIPTS = load_scripts()
REFUSED = hiredis.ReplyError("ERR out of memory")
GRANT = [1, 0, 0, 77, 9, 1_000_000]


class Store:
    """Answers each call with what is next in ``replies``; silent without one."""

    is_up = True

    def __init__(self):
        self.replies = []
        self.calls = []
        self.silent = []

    def run(self, script, key, args, done):
        self.calls.append((script.name, args))
        if self.replies:
            done(self.replies.pop(0))
        else:
            self.silent.append(done)

    def named(self, name):
        return [args for called, args in self.calls if called == name]


def order(on_failure):
    limit = Limit(name="day", kind="window", cap=10, on_failure=on_failure)
    return order_of("acme", (Claim(limit, "tenant", 1),))


@pytest.fixture
def store():
    return Store()


def ledger_on(store):
    return RedisLedger(store, SCRIPTS, FakeClock(now=1.0))


async def test_a_reservation_that_the_store_refuses_goes_by_on_failure_and_is_told_once(
    store, caplog
):
    ledger = ledger_on(store)
    store.replies = [REFUSED, REFUSED]
    with caplog.at_level(logging.ERROR):
        grants = [await ledger.reserve(*order("open")) for _ in range(2)]

    assert all(grant.lease and grant.was_uncounted for grant in grants)
    assert len(caplog.messages) == 1
    assert (ledger.errors, ledger.failures, ledger.uncounted) == (2, 2, 2)


@pytest.mark.parametrize(
    ("reply", "gives_back"),
    [(REFUSED, True), (Unanswered("late"), True), (StoreDown("never sent"), False)],
)
async def test_a_lease_that_may_have_been_granted_to_one_turned_away_is_given_back(
    store, reply, gives_back
):
    ledger = ledger_on(store)
    store.replies = [reply]
    grant = await ledger.reserve(*order("closed"))

    assert grant.lease is None
    assert ledger.closed == 1
    assert len(ledger._leases) == 0
    given_back = store.named("settle")
    assert len(given_back) == gives_back
    if gives_back:
        # Nothing was used, and the lease is the one that was asked for.
        assert given_back[0][0] == store.named("reserve")[0][0]


@pytest.mark.parametrize("is_answered", [True, False])
async def test_who_leaves_while_the_store_is_asked_gives_the_lease_back_once(store, is_answered):
    ledger = ledger_on(store)
    asking = asyncio.create_task(ledger.reserve(*order("open")))
    while not store.silent:
        await asyncio.sleep(0)
    if is_answered:
        store.silent.pop()(GRANT)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    for done in store.silent[:1]:
        done(GRANT)  # too late: nobody listens

    assert len(ledger._leases) == 0
    (given_back,) = store.named("settle")
    assert given_back[0] == store.named("reserve")[0][0]
    assert ledger.granted == 0


async def test_a_look_at_what_is_left_while_the_store_is_down_says_that_nothing_is_known(store):
    store.replies = [StoreDown("down")]
    grant = await ledger_on(store).peek(*order("closed"))

    assert (grant.lease, grant.was_uncounted, grant.remaining) == (None, True, ())


async def test_a_lease_is_settled_once_and_never_with_other_amounts_than_it_has(store):
    ledger = ledger_on(store)
    store.replies = [GRANT]
    grant = await ledger.reserve(*order("open"))
    with pytest.raises(ValueError, match="the amounts that were asked for"):
        ledger.settle(grant.lease, Settlement((1, 2)))
    assert store.named("settle") == []

    for _ in range(2):
        ledger.settle(grant.lease, Settlement((1,)))
    assert len(store.named("settle")) == 1


async def test_what_waited_and_what_is_held_is_told_to_a_store_that_is_back(store):
    ledger = ledger_on(store)
    store.replies = [GRANT, GRANT]
    kept, done = [await ledger.reserve(*order("open")) for _ in range(2)]
    store.replies = [StoreDown("down")]
    ledger.settle(done.lease, Settlement((3,)))
    assert ledger.status()["waiting"] == 1
    ledger._on_up()

    assert ledger.status()["waiting"] == 0
    assert len(store.named("settle")) == 2
    (extended,) = store.named("extend")
    assert extended[2:] == (kept.lease,)
    assert len(store.named("beat")) == 1
