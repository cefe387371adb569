"""Who is let in when, who is refused and why, on a clock that the test turns."""

import asyncio
import heapq
import random

import pytest

from proxy.core.errors import Overloaded
from proxy.core.exchange import Usage
from proxy.upstream.gate import Bounds
from tests.kit import FakeClock, exchange
from tests.properties.test_gate import Watch, gate


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def watch():
    return Watch()


async def served(door, clock, seconds, **fields):
    """One request that holds its slot for ``seconds``."""
    x = exchange(**fields)
    slot = door.enter(x)
    clock.advance(seconds)
    door.leave(slot, x)


def waiting(door, **fields):
    x = exchange(**fields)
    return asyncio.get_running_loop().create_task(door.wait(x)), x


async def turn():
    for _ in range(3):
        await asyncio.sleep(0)


async def refusal(task):
    with pytest.raises(Overloaded) as caught:
        await task
    return caught.value


async def test_a_full_queue_refuses_and_says_when_to_come_back(clock, watch):
    door = gate(clock, watch, max=2, queue=3)
    await served(door, clock, 8.0)
    held = [door.enter(exchange(tenant="a")) for _ in range(2)]
    tasks = [waiting(door, tenant="a")[0] for _ in range(3)]
    await turn()
    error = await refusal(waiting(door, tenant="a")[0])

    assert (error.status, error.code) == (503, "overloaded")
    assert error.retry_after == 16.0  # the fourth in the queue, a slot each 4 s
    assert "'u'" in error.message
    assert watch.refusals == {"full": 1}
    assert all(held)
    for task in tasks:
        task.cancel()


async def test_a_flood_gives_way_in_a_full_queue_to_who_has_less(clock, watch):
    door = gate(clock, watch, max=1, queue=3)
    door.enter(exchange(tenant="flood"))
    tasks = [waiting(door, tenant="flood")[0] for _ in range(3)]
    await turn()
    quiet, _ = waiting(door, tenant="quiet")
    await turn()

    assert [task.done() for task in tasks] == [False, False, True]
    await refusal(tasks[2])
    assert not quiet.done()
    assert door.status()["waiting_by_tenant"] == {"flood": 2, "quiet": 1}
    for task in (*tasks[:2], quiet):
        task.cancel()


async def test_who_waits_too_long_is_refused_by_the_sweep(clock, watch):
    door = gate(clock, watch, max=1, queue_s=2.0)
    door.enter(exchange(tenant="a"))
    task, x = waiting(door, tenant="a")
    await turn()
    clock.advance(1.9)
    door.sweep(clock.now())
    await turn()
    assert not task.done()
    clock.advance(0.2)
    door.sweep(clock.now())
    error = await refusal(task)

    assert error.retry_after == 1
    assert x.queued_s == pytest.approx(2.1)
    assert door.waiting == 0
    assert watch.refusals == {"timeout": 1}


@pytest.mark.parametrize("name", ["x-stainless-read-timeout", "x-stainless-timeout"])
async def test_a_client_that_will_not_wait_so_long_is_refused_at_once(clock, watch, name):
    door = gate(clock, watch, max=2)
    await served(door, clock, 10.0)
    for _ in range(2):
        door.enter(exchange(tenant="a"))
    first, _ = waiting(door, tenant="a", started=clock.now(), headers={name: "600"})
    await turn()
    late, _ = waiting(door, tenant="a", started=clock.now(), headers={name: "9"})
    fits, _ = waiting(door, tenant="b", started=clock.now(), headers={name: "11"})
    await refusal(late)

    assert watch.refusals == {"deadline": 1}
    assert not first.done()
    assert not fits.done()
    first.cancel()
    fits.cancel()


async def test_a_client_waits_no_longer_than_it_says(clock, watch):
    door = gate(clock, watch, max=1, queue_s=5.0)
    door.enter(exchange(tenant="a"))
    headers = {"x-stainless-read-timeout": "1.5"}
    task, _ = waiting(door, tenant="a", headers=headers)
    await turn()
    clock.advance(1.6)
    door.sweep(clock.now())

    await refusal(task)


async def test_interactive_goes_before_batch_and_batch_before_internal(clock, watch):
    door = gate(clock, watch, max=1)
    x = exchange(tenant="a")
    slot, order = door.enter(x), []
    tasks = []
    for priority in (2, 1, 0):
        task, queued = waiting(door, tenant=f"t{priority}", priority=priority)
        tasks.append((task, queued))
        await turn()
    for _ in range(3):
        door.leave(slot, x)
        await turn()
        task, x = next((t, q) for t, q in tasks if t.done() and q.tenant not in order)
        slot = task.result()
        order.append(x.tenant)

    assert order == ["t0", "t1", "t2"]


async def test_new_bounds_take_hold_at_once_and_keep_who_waits(clock, watch):
    door = gate(clock, watch, max=1)
    door.enter(exchange(tenant="a"))
    tasks = [waiting(door, tenant="a")[0] for _ in range(3)]
    await turn()
    door.set(Bounds(max=3))
    await turn()
    assert [task.done() for task in tasks] == [True, True, False]
    door.lift()
    await turn()

    assert tasks[2].done()
    assert (door.in_flight, door.waiting) == (4, 0)


async def test_what_an_adaptive_cap_learnt_outlives_new_bounds(clock, watch):
    door = gate(clock, watch, max=10, adapts="aimd")
    clock.advance(1)
    door.pushed_back(clock.now())
    assert door.cap == 7

    door.set(Bounds(max=20, adapts="aimd"))
    assert door.cap == 7
    door.set(Bounds(max=20, adapts=""))
    assert door.cap == 20


async def test_slower_first_tokens_lower_the_cap_of_a_gradient(clock, watch):
    door = gate(clock, watch, max=16, adapts="gradient")

    def stream(first_token):
        x = exchange(tenant="a", stream=True, upstream_status=200, usage=Usage(100, 10))
        slots = [(door.enter(y), y) for y in (exchange() for _ in range(door.cap - 1))]
        slot = door.enter(x)
        x.sent_at = clock.now()
        x.first_byte_at = clock.now() + first_token
        door.leave(slot, x)
        for other, y in slots:
            door.leave(other, y)

    for _ in range(50):
        stream(0.1)
    assert door.cap == 16
    for _ in range(50):
        stream(2.0)

    assert door.cap < 12


async def test_an_answer_without_a_report_is_paid_by_what_was_delivered(clock, watch):
    door = gate(clock, watch, max=4)

    def cost(**fields):
        x = exchange(tenant="a", raw=b"x" * 400, **fields)
        slot = door.enter(x)
        before = slot.account.counter - slot.cost
        door.leave(slot, x)
        return slot.account.counter - before

    assert cost(upstream_status=200, stream=True, events=30) == 100 + 2 * 30 + 1
    assert cost(upstream_status=200) == 100 + 2 * 256 + 1
    assert cost(upstream_status=500) == 101
    assert cost() == 101


# A server with eight slots and a flood before it.

SLOTS, OUTSTANDING = 8, 200


def service_s(usage):
    """Prefill, and decode at the speed of a server that is full."""
    return 0.05 + usage.prompt / 10_000 + usage.completion * 0.02


class Simulation:
    """Clients in closed and open loops, in a time of their own."""

    def __init__(self, *, is_fair, seed=7):
        self.clock, self.random, self.is_fair = FakeClock(), random.Random(seed), is_fair
        self.door = gate(self.clock, Watch(), max=SLOTS, queue=10_000, queue_s=1e9)
        self.events, self.number, self.tasks = [], 0, set()
        self.waits, self.latencies = [], []

    def at(self, when, what):
        self.number += 1
        heapq.heappush(self.events, (when, self.number, what))

    def request(self, tenant, prompt, output):
        x = exchange(tenant=tenant if self.is_fair else "all", started=self.clock.now())
        x.estimate = Usage(prompt, 200)  # what is known beforehand
        x.usage = Usage(prompt, output)
        return x

    def flood(self):
        self.start(self.request("flood", 500, self.random.randint(50, 350)), again=True)

    def quiet(self):
        self.start(self.request("quiet", 200, self.random.randint(50, 150)), again=False)
        self.at(self.clock.now() + self.random.expovariate(0.5), self.quiet)

    def start(self, x, *, again):
        self.tasks.add(asyncio.get_running_loop().create_task(self._serve(x, again)))

    async def _serve(self, x, again):
        slot = self.door.enter(x) or await self.door.wait(x)
        took = service_s(x.usage)

        def over():
            self.door.leave(slot, x)
            if again:
                self.flood()
            else:
                self.waits.append(x.queued_s)
                self.latencies.append(self.clock.now() - x.started)

        self.at(self.clock.now() + took, over)

    async def run(self, seconds, *, floods):
        for _ in range(OUTSTANDING if floods else 0):
            self.flood()
        self.at(0.5, self.quiet)
        while self.clock.now() < seconds:
            await turn()
            when, _, what = heapq.heappop(self.events)
            self.clock.advance(when - self.clock.now())
            what()
            self.door.sweep(self.clock.now())
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        return p95(self.waits), p95(self.latencies)


def p95(values):
    return sorted(values)[int(len(values) * 0.95)]


async def test_beside_a_flood_the_well_behaved_wait_for_the_next_slot_and_no_more():
    alone_wait, alone = await Simulation(is_fair=True).run(600, floods=False)
    wait, latency = await Simulation(is_fair=True).run(600, floods=True)
    fifo_wait, _ = await Simulation(is_fair=False).run(600, floods=True)

    assert alone_wait == 0
    # Alone it waits for nothing, so the measure is one time of service: 3.0 s at
    # p95.  Measured: wait 1.8 to 2.2 s, latency 4.0 to 4.4 s; in FIFO 118 s.
    assert wait <= alone
    assert latency <= 2 * alone
    assert fifo_wait > 20 * wait
