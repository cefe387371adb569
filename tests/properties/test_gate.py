"""No slot leaks, whatever order clients come, leave, are served and give up in."""

import asyncio
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import Overloaded
from proxy.core.exchange import Usage
from proxy.upstream.gate import Bounds, Gate
from tests.kit import FakeClock, exchange


class Watch:
    """Keeps what it is told."""

    def __init__(self):
        self.waited, self.refusals = [], Counter()

    def waits(self, upstream):
        return self.waited.append

    def refused(self, upstream, reason):
        self.refusals[reason] += 1


def gate(clock, watch, **bounds):
    loop = asyncio.get_running_loop()
    return Gate("u", Bounds(**bounds), loop.create_future, clock.now, watch)


bounds = st.fixed_dictionaries(
    {
        "max": st.integers(1, 4),
        "queue": st.integers(0, 5),
        "queue_s": st.floats(0.5, 5),
        "adapts": st.sampled_from(["", "aimd", "gradient"]),
    }
)
steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("come"),
            st.sampled_from("abc"),
            st.integers(0, 2),
            st.none() | st.floats(0.1, 10),
        ),
        st.tuples(st.just("cancel"), st.integers(0, 20)),
        st.tuples(st.just("finish"), st.integers(0, 20), st.sampled_from([0, 200, 429, 500])),
        st.tuples(st.just("pushed_back")),
        st.tuples(st.just("sweep"), st.floats(0, 3)),
        st.tuples(st.just("set"), bounds),
        st.tuples(st.just("turn")),
    ),
    max_size=60,
)


class Crowd:
    """Clients of one gate; steps of the loop are taken only when told."""

    def __init__(self, settings):
        self.clock, self.watch = FakeClock(), Watch()
        self.most = settings["max"]
        self.gate = gate(self.clock, self.watch, **settings)
        self.clients, self.holding, self.refused = [], [], 0

    async def _client(self, x):
        held = self.gate.enter(x)
        if held is None:
            try:
                held = await self.gate.wait(x)
            except Overloaded:
                self.refused += 1
                return
        done = asyncio.get_running_loop().create_future()
        self.holding.append(done)
        try:
            x.upstream_status = await done
        finally:
            self.holding.remove(done)
            self.gate.leave(held, x)
            self.gate.leave(held, x)

    def come(self, tenant, priority, patience):
        headers = {} if patience is None else {"x-stainless-read-timeout": str(patience)}
        x = exchange(tenant=tenant, priority=priority, headers=headers, started=self.clock.now())
        self.clients.append(asyncio.get_running_loop().create_task(self._client(x)))

    def cancel(self, index):
        if self.clients:
            self.clients[index % len(self.clients)].cancel()

    def finish(self, index, status):
        done = [f for f in self.holding if not f.done()]
        if done:
            done[index % len(done)].set_result(status)

    def pushed_back(self):
        self.gate.pushed_back(self.clock.now())

    def sweep(self, seconds):
        self.clock.advance(seconds)
        self.gate.sweep(self.clock.now())

    def set(self, settings):
        self.most = settings["max"]
        self.gate.set(Bounds(**settings))

    async def settle(self):
        for _ in range(4):
            await asyncio.sleep(0)
        self.clients = [task for task in self.clients if not task.done()]
        assert self.gate.in_flight == len(self.holding)
        assert self.gate.in_flight + self.gate.waiting == len(self.clients)
        assert 1 <= self.gate.cap <= self.most
        assert self.gate.waiting == 0 or self.gate.in_flight >= self.gate.cap

    async def run(self, history):
        for name, *arguments in history:
            if name == "turn":
                await self.settle()
            else:
                getattr(self, name)(*arguments)
        await self.settle()
        while self.clients:
            self.finish(0, 200)
            self.sweep(0.01)
            await self.settle()
        assert (self.gate.in_flight, self.gate.waiting) == (0, 0)
        assert self.refused <= sum(self.watch.refusals.values())


@given(bounds, steps)
def test_no_slot_is_lost_or_given_twice(settings, history):
    async def play():
        await Crowd(settings).run(history)

    asyncio.run(play())


@given(st.integers(1, 6), st.lists(st.sampled_from(["grant", "cancel", "late"]), max_size=12))
def test_leaving_in_the_moment_of_the_turn_frees_the_place_at_once(most, moments):
    async def play():
        clock, watch = FakeClock(), Watch()
        door = gate(clock, watch, max=most, queue=100, queue_s=1.0)
        held = [(door.enter(x), x) for x in (exchange(tenant="a") for _ in range(most))]
        tasks = []
        for _ in moments:
            x = exchange(tenant="b")
            tasks.append((x, asyncio.get_running_loop().create_task(door.wait(x))))
        await asyncio.sleep(0)
        for (_, task), moment in zip(tasks, moments, strict=True):
            if moment == "cancel":
                task.cancel()
            elif moment == "grant" and held:
                door.leave(*held.pop())
                task.cancel()
            elif moment == "late":
                clock.advance(0.3)
                door.sweep(clock.now())
        for slot, x in held:
            door.leave(slot, x)
        await asyncio.sleep(0)
        clock.advance(2)
        door.sweep(clock.now())
        results = await asyncio.gather(*(t for _, t in tasks), return_exceptions=True)
        for (x, _), got in zip(tasks, results, strict=True):
            if not isinstance(got, BaseException):
                door.leave(got, x)
        assert (door.in_flight, door.waiting) == (0, 0)
        assert [door.enter(exchange()) is not None for _ in range(most + 1)] == [True] * most + [
            False
        ]

    asyncio.run(play())


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_tenant_pays_in_the_end_for_what_was_used(p, c, guessed_p, guessed_c):
    async def play():
        door = gate(FakeClock(), Watch(), max=1)
        x = exchange(tenant="a", weight=2)
        x.estimate = Usage(guessed_p, guessed_c)
        slot = door.enter(x)
        x.usage = Usage(p, c)
        door.leave(slot, x)

        assert abs(slot.account.counter - (p + 2 * c + 1) / 2) < 1e-6

    asyncio.run(play())
