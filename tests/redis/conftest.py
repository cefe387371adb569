"""A real server for each test module, and ledgers on it."""

import asyncio
import random
import time

import pytest

from proxy.stores.address import parse_address
from proxy.stores.leases import Keeping
from proxy.stores.opening import open_store
from proxy.stores.redis import RedisLedger
from proxy.stores.scripts import load_scripts
from tests.redis.servers import Server


class RealClock:
    now = staticmethod(time.monotonic)
    wall = staticmethod(time.time)  # noqa: TID251 - what the port stands for


TIME_OUT_S = 0.5
"""For stores: ten times what serves, so that none is given up because the machine is busy."""

PATIENCE_S = 2.0
"""More than a store that is given up takes, and less than a hang."""


def at_once(coroutine):
    """What ``coroutine`` returns without waiting for anything."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise AssertionError("it waits")


async def until(is_so, within_s=5.0):
    """Wait for something that a real server does in its own time."""
    async with asyncio.timeout(within_s):
        while not is_so():
            await asyncio.sleep(0.002)


@pytest.fixture(scope="module")
def shared_server():
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def server(shared_server):
    """The module's server, empty."""
    shared_server.ask("FLUSHALL")
    return shared_server


@pytest.fixture
def own_server():
    """A server that the test may freeze and kill."""
    server = Server()
    yield server
    server.stop()


@pytest.fixture
async def connect():
    """Makes ledgers, connected unless told otherwise, and closes them at the end."""
    made = []

    async def make(url, *, is_ready=True, scripts=None, clock=None, **keeping):
        scripts = scripts or load_scripts()
        store = open_store(
            parse_address(url), scripts, random.Random(1).random, timeout_s=TIME_OUT_S
        )
        ledger = RedisLedger(store, scripts, clock or RealClock(), Keeping(**keeping))
        ledger.start()
        made.append(ledger)
        if is_ready:
            await until(lambda: store.is_up)
        return ledger

    yield make
    for ledger in made:
        await ledger.close(0.0)
