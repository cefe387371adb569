"""What goes on in the background goes on after something that nobody foresaw."""

import asyncio

import pytest

from proxy.core.switches import Switches
from proxy.stores import cluster, link, switches
from proxy.stores.address import parse_address
from proxy.stores.cluster import Cluster
from proxy.stores.leases import Keeping
from proxy.stores.link import Link
from proxy.stores.pipe import StoreDown
from proxy.stores.redis import RedisLedger
from proxy.stores.scripts import load_scripts
from proxy.stores.switches import SharedSwitches
from tests.kit import FakeClock

SECRET = "sk-secret"


class Bad:
    """Fails of something unforeseen, and the second time of what is known."""

    def __init__(self, then=None):
        self.calls = 0
        self.again = asyncio.Event()
        self._then = then

    def __call__(self, *_):
        self.calls += 1
        if self.calls == 1:
            raise RuntimeError(SECRET)
        self.again.set()
        if self._then is not None:
            raise self._then

    async def later(self, *words):
        return self(*words)


class NoStore:
    """A store that is never there, and is closed."""

    is_up = False
    is_closed = False

    def start(self): ...

    def on_up(self, told): ...

    def run(self, script, key, args, done):
        done(StoreDown("not connected"))

    async def close(self):
        self.is_closed = True


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(switches, "EVERY_S", 0.001)
    monkeypatch.setattr(cluster, "RETRY_S", 0.001)
    monkeypatch.setattr(cluster, "REFRESH_S", 0.001)
    monkeypatch.setattr(link, "MAX_PAUSE_S", 0.001)


async def _goes_on(bad, one, caplog):
    async with asyncio.timeout(5):
        one.start()
        await bad.again.wait()
        await one.close()

    assert "failed: RuntimeError" in caplog.text
    assert SECRET not in caplog.text


async def test_switches_are_followed(caplog):
    bad, store = Bad(StoreDown("gone")), NoStore()
    store.call = bad.later
    await _goes_on(bad, SharedSwitches(store, Switches()), caplog)


async def test_a_server_is_looked_for(caplog):
    bad = Bad(StoreDown("no master"))
    await _goes_on(bad, Link(bad.later, load_scripts(), lambda: 0.0), caplog)


async def test_a_cluster_is_followed(caplog):
    bad = Bad(StoreDown("no map"))
    address = parse_address("redis+cluster://127.0.0.1:1")
    await _goes_on(bad, Cluster(address, bad.later, lambda _: None), caplog)


async def test_leases_are_renewed(caplog):
    store, bad = NoStore(), Bad()
    ledger = RedisLedger(store, load_scripts(), FakeClock(), Keeping(lease_s=0.007))
    ledger._leases.renew_when_due = bad
    await _goes_on(bad, ledger, caplog)

    assert store.is_closed


async def test_whoever_waits_for_a_server_hears_of_it_though_another_failed(caplog):
    bad, told = Bad(), []
    one = Link(bad.later, load_scripts(), lambda: 0.0)
    one.on_up(bad)
    one.on_up(lambda: told.append(1))
    one._rise()

    assert told == [1]
    assert SECRET not in caplog.text
