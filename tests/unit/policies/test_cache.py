"""What a client that leaves while the cache looks must not leave behind."""

import asyncio

import pytest

from proxy.core.cache import Found, Key, Terms
from proxy.core.exchange import End
from proxy.core.fills import Fills, Flights
from proxy.core.plan import Plan, Target
from proxy.observe.caching import CacheMeter
from proxy.policies.cache import CachePolicy
from proxy.rules.cacheable import CacheRule
from proxy.rules.cached import CacheMeans
from proxy.rules.likeness import Likeness
from proxy.tasks import LoopTasks
from proxy.wire.endpoints import EXACT
from tests.kit import FakeClock, exchange

LIKE = Likeness(
    mode="on", threshold=0.9, forgive=2.0, verify=0.0, max_error=0.05, timeout_s=1.0,
    embedder=None, questions=None, trials=None, compare=None,
)  # fmt: skip


class Vault:
    """A shared vault without an answer; ``leases`` are those that were taken and not given back."""

    is_shared = True

    def __init__(self, gate):
        self._gate = gate
        self.leases = []

    def key(self, scope, material):
        return Key(b"name")

    def near(self, scope, key):
        return None

    def era(self, scope):
        return b""

    async def far(self, scope, keys, *, lease_s):
        if lease_s and keys[0] not in self.leases:
            self.leases.append(keys[0])
        await self._gate.wait()
        return Found((None,))

    def release(self, scope, key):
        self.leases.remove(key)


class Epochs:
    def of(self, route):
        return 0


class Slow:
    """Looks for questions that mean the same until the test is over."""

    def place(self, x, rule):
        return object()

    async def find(self, place, wish):
        await asyncio.Event().wait()


async def never(x, leg, stage):
    await asyncio.Event().wait()
    return End("complete")


def policy(vault, **more):
    fills = Fills(
        Flights(), LoopTasks(asyncio.get_running_loop()), FakeClock(), never, lambda *_: None
    )
    rule = CacheRule(name="answers", vault=vault, terms=Terms(60.0, 0.0, 0.0), **more)
    means = CacheMeans({"chat": rule}, Epochs(), fills, CacheMeter(), FakeClock())
    return CachePolicy(means, Slow())


async def looking(cache):
    x = exchange(body=b"{}")
    x.body = {"model": "m", "temperature": 0, "messages": []}
    x.endpoint, x.tenant = EXACT["/v1/chat/completions"], "acme"
    x.plan = Plan("chat", (Target("main/m", "main", "m"),))
    task = asyncio.create_task(cache.on_request(x))
    for _ in range(5):
        await asyncio.sleep(0)
    return task


@pytest.mark.parametrize("is_answered", [False, True])
async def test_who_leaves_before_its_flight_gives_the_lease_back(is_answered):
    """While the store is asked, or while near questions are looked for."""
    gate = asyncio.Event()
    if is_answered:
        gate.set()
    vault = Vault(gate)
    task = await looking(policy(vault, likeness=LIKE))
    taken = list(vault.leases)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert taken == [Key(b"name")]
    assert vault.leases == []


async def test_of_two_who_look_the_first_to_leave_leaves_the_lease_to_the_other():
    vault = Vault(asyncio.Event())
    cache = policy(vault)
    one, other = await looking(cache), await looking(cache)
    one.cancel()
    await asyncio.gather(one, return_exceptions=True)
    left = list(vault.leases)
    other.cancel()
    await asyncio.gather(other, return_exceptions=True)

    assert left == [Key(b"name")]
    assert vault.leases == []


async def test_a_flight_keeps_its_lease_until_it_ends():
    gate = asyncio.Event()
    gate.set()
    vault = Vault(gate)
    task = await looking(policy(vault))

    assert vault.leases == [Key(b"name")]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
