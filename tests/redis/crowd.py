"""One of several processes that crowd at a limit: python -m tests.redis.crowd URL SEED SECONDS."""

import asyncio
import json
import random
import sys
import time

from proxy.core.ledger import Claim, Limit, Settlement, order_of
from proxy.stores.address import parse_address
from proxy.stores.opening import open_store
from proxy.stores.redis import RedisLedger
from proxy.stores.scripts import load_scripts

TOKENS = Limit(name="tokens", kind="rate", cap=4000, amount=20_000, seconds=1)
SLOTS = Limit(name="slots", kind="slot", cap=40)
BUDGET = Limit(name="budget", kind="money", cap=10**12)
CLIENTS = 50


class Clock:
    now = staticmethod(time.monotonic)
    wall = staticmethod(time.time)  # noqa: TID251 - what the port stands for


async def client(ledger, chance, ends, told):
    """Asks, uses what it asked for or less, waits as long as it is told."""
    while time.monotonic() < ends:
        estimate = chance.randint(50, 250)
        claims = (Claim(TOKENS, "tenant", estimate), Claim(SLOTS, "tenant"),
                  Claim(BUDGET, "tenant", estimate * 1000))  # fmt: skip
        grant = await ledger.reserve(*order_of("crowd", claims), b"guess")
        if grant.is_local or grant.was_uncounted:
            told["uncounted"] += 1
        if grant.lease is None:
            await asyncio.sleep(min(max(grant.wait_s or 0.0, 0.001), 0.1))
            continue
        used = round(estimate * chance.uniform(0.8, 1.0))
        told["used"].append(used)
        await asyncio.sleep(chance.uniform(0.0, 0.02))
        ledger.settle(grant.lease, Settlement((used, 1, used * 1000), b"used"))


async def main(url, seed, seconds):
    scripts = load_scripts()
    chance = random.Random(seed)
    # The processes share two cores with the server: being slow is not what is tested.
    store = open_store(parse_address(url), scripts, chance.random, timeout_s=2.0)
    ledger = RedisLedger(store, scripts, Clock())
    ledger.start()
    while not store.is_up:
        await asyncio.sleep(0.005)
    told = {"used": [], "uncounted": 0, "began": time.monotonic()}
    ends = told["began"] + seconds
    await asyncio.gather(*[client(ledger, chance, ends, told) for _ in range(CLIENTS)])
    told["ended"] = time.monotonic()
    await ledger.close(5.0)
    told["lost"] = ledger.status()["lost"]
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
