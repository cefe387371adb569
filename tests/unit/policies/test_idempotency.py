"""What a client that leaves too early must not leave behind."""

import asyncio

import pytest

from proxy.core.cache import Found, Key
from proxy.core.exchange import End, Head
from proxy.core.fills import Fills, Flights
from proxy.policies.idempotency import IdempotencyPolicy, KeyReused, _is_same
from proxy.tasks import LoopTasks
from tests.kit import FakeClock, exchange


class Store:
    """Leases that replicas share, and whose they are; ``gate`` opens when it answers."""

    def __init__(self):
        self.holder = None
        self.gate = asyncio.Event()
        self.asked = asyncio.Event()


class Replica:
    """One replica's vault; the store has never an answer."""

    is_shared = True

    def __init__(self, store):
        self._store = store

    def key(self, scope, material):
        return Key(material)

    def near(self, scope, key):
        return None

    def era(self, scope):
        return b""

    async def far(self, scope, keys, *, lease_s):
        store = self._store
        store.holder = store.holder or self
        is_leader = store.holder is self
        store.asked.set()
        await store.gate.wait()
        return Found((None,), is_leader=is_leader)

    def release(self, scope, key):
        if self._store.holder is self:
            self._store.holder = None

    def keep(self, scope, key, data, *, era, seconds):
        self.release(scope, key)


async def answered(x, leg, stage):
    leg.start(x, Head(200, [], content_type=b"a/b"))
    leg.finish()
    return End("complete")


def replica(store, rest=answered):
    tasks = LoopTasks(asyncio.get_running_loop())
    fills = Fills(Flights(), tasks, FakeClock(), rest, lambda *_: None)
    return IdempotencyPolicy(Replica(store), fills, FakeClock(), {"": "rules"})


def asking(store, at=None):
    """The same request, ``at`` a replica or at one of its own."""
    policy = at or replica(store)
    x = exchange(headers={"idempotency-key": "k"})
    x.body, x.tenant = {"model": "m"}, "acme"
    return asyncio.create_task(policy.on_request(x))


async def test_who_leaves_while_the_store_is_asked_keeps_no_other_replica_waiting():
    store = Store()
    first = asking(store)
    await store.asked.wait()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    store.gate.set()
    follower = await asyncio.wait_for(asking(store), 1)

    assert follower.leads
    assert follower.head.status == 200
    follower.close()


async def test_who_leaves_takes_no_lease_from_who_asks_the_same_beside():
    begun = []

    async def never(x, leg, stage):
        begun.append(x)
        await asyncio.Event().wait()

    store = Store()
    one, two = replica(store, never), replica(store, never)
    stays, leaves = asking(store, one), asking(store, one)
    await asyncio.sleep(0)
    leaves.cancel()
    await asyncio.gather(leaves, return_exceptions=True)
    other = asking(store, two)
    await asyncio.sleep(0)
    store.gate.set()
    for _ in range(10):
        await asyncio.sleep(0)
    stays.cancel()
    other.cancel()
    await asyncio.gather(stays, other, return_exceptions=True)

    assert len(begun) == 1


async def test_another_replica_waits_while_its_client_stays():
    store = Store()
    first = asking(store)
    await store.asked.wait()
    second = asking(store)
    await asyncio.sleep(0)
    assert not second.done()
    store.gate.set()

    assert (await first).leads
    assert (await asyncio.wait_for(second, 1)).leads


@pytest.mark.parametrize(
    ("ident", "asked"), [("d k1", ["d k1"]), ("e k1", ["d k1", "e k1"]), ("d ", ["d "])]
)
def test_the_same_request_is_known(ident, asked):
    assert _is_same(ident, asked)


def test_with_pseudonyms_under_another_key_nobody_can_say():
    assert not _is_same("d k1", ["e k2"])


@pytest.mark.parametrize(("ident", "asked"), [("d k1", ["e k1"]), ("d ", ["e "]), ("d ", ["e k"])])
def test_another_request_is_refused(ident, asked):
    with pytest.raises(KeyReused):
        _is_same(ident, asked)
