"""The queue of a contended upstream is fair in tokens, whatever is asked of it."""

from collections import Counter

from hypothesis import assume, given
from hypothesis import strategies as st

from proxy.rules.fairness import EVERY, FairQueue, Turn

tenants = st.sampled_from("abcd")
levels = st.integers(0, 2)
weights = st.integers(1, 5)
costs = st.integers(1, 5000)


class Sized(Turn):
    """A turn that knows how much work it will really be."""

    __slots__ = ("size",)


def turn(tenant="a", priority=0, weight=1, cost=100, since=0.0, until=float("inf"), size=100):
    made = Sized(tenant, priority, weight, cost, until)
    made.since, made.size = since, size
    return made


steps = st.lists(
    st.one_of(
        st.tuples(st.just("push"), tenants, levels, costs, st.floats(0.1, 20)),
        st.tuples(st.just("admit"), tenants, levels, costs),
        st.tuples(st.just("pop")),
        st.tuples(st.just("remove"), st.integers(0, 50)),
        st.tuples(st.just("settle"), st.integers(0, 50), costs),
        st.tuples(st.just("pass"), st.floats(0, 5)),
        st.tuples(st.just("tidy")),
    ),
    max_size=80,
)


class Model:
    """Lists in the place of everything clever, and the promises as asserts."""

    def __init__(self):
        self.queue = FairQueue(patience=2.0)
        self.waiting, self.held, self.now = [], [], 0.0

    def push(self, tenant, level, cost, stays):
        made = turn(tenant + str(level), level, 1 + level, cost, self.now, self.now + stays)
        self.queue.push(made)
        self.waiting.append(made)

    def admit(self, tenant, level, cost):
        if not self.waiting:
            made = turn(tenant + str(level), level, 1 + level, cost)
            self.queue.admit(made)
            self.held.append(made)

    def pop(self):
        got = self.queue.pop(self.now)
        assert (got is None) == (not self.waiting)
        if got is None:
            return
        mine = [t for t in self.waiting if t.tenant == got.tenant]
        assert mine[0] is got  # first come, first served
        rivals = [t for t in self.waiting if t.priority == got.priority]
        before = got.account.counter - got.cost / got.weight
        assert all(t.account is got.account or before <= t.account.counter + 1e-6 for t in rivals)
        first = min(t.priority for t in self.waiting)
        if got.priority != first:
            lowest = [t for t in self.waiting if t.priority > first]
            assert self.now - min(t.since for t in lowest) >= 2.0
        self.waiting.remove(got)
        self.held.append(got)

    def remove(self, index):
        if self.waiting:
            gone = self.waiting.pop(index % len(self.waiting))
            self.queue.remove(gone)
            self.queue.remove(gone)

    def settle(self, index, cost):
        if self.held:
            self.queue.settle(self.held.pop(index % len(self.held)), cost)

    def tidy(self):
        self.queue.tidy()

    def check(self):
        assert self.queue.waiting == len(self.waiting)
        assert Counter(self.queue) == Counter(self.waiting)
        assert self.queue.depths() == Counter(t.tenant for t in self.waiting)

    def run(self, history):
        for name, *arguments in history:
            if name == "pass":
                self.now += arguments[0]
                late = self.queue.overdue(self.now)
                assert {*late} == {t for t in self.waiting if t.until <= self.now}
                self.waiting = [t for t in self.waiting if t.until > self.now]
            else:
                getattr(self, name)(*arguments)
            self.check()
        while self.waiting:
            self.pop()
        for held in self.held:
            self.queue.settle(held, held.cost)


@given(steps)
def test_nobody_is_lost_or_served_twice_and_the_smallest_counter_goes_next(history):
    Model().run(history)


@given(steps)
def test_when_all_is_over_nothing_is_remembered(history):
    model = Model()
    model.run(history)
    model.queue.tidy()

    assert all(not level.accounts and not level.busy for level in model.queue._levels)


@given(
    st.dictionaries(
        tenants, st.tuples(weights, st.lists(costs, min_size=1, max_size=5)), min_size=2
    ),
    st.integers(1, 8),
    st.integers(1, 300),
    st.booleans(),
)
def test_tenants_that_always_wait_are_given_the_same_for_their_weight(asked, slots, turns, blind):
    queue, given_to, held = FairQueue(), Counter(), []

    def push(name, number):
        weight, sizes = asked[name]
        size = sizes[number % len(sizes)]
        queue.push(turn(name, 0, weight, 300 if blind else size, size=size))

    numbers = Counter()
    for name in asked:
        push(name, 0)
        push(name, 1)
    for _ in range(turns):
        if len(held) == slots:
            over = held.pop(0)
            queue.settle(over, over.size)
        now = queue.pop(0.0)
        held.append(now)
        given_to[now.tenant] += now.size
        numbers[now.tenant] += 1
        push(now.tenant, numbers[now.tenant] + 1)
    shares = [given_to[name] / weight for name, (weight, _) in asked.items()]
    largest = max(max(*sizes, 300) / weight for weight, sizes in asked.values())

    # By estimates the error of all that is being served comes on top.
    assert max(shares) - min(shares) <= largest * (1 + 2 * slots if blind else 1) + 1e-6


@given(st.integers(1, 500), st.integers(1, 50))
def test_who_slept_has_saved_nothing(busy, burst):
    queue = FairQueue()
    sleeper = turn("sleeper")
    queue.admit(sleeper)
    queue.settle(sleeper, 100)
    for _ in range(busy):
        queue.push(turn("busy"))
        queue.push(turn("other"))
        queue.settle(queue.pop(0), 100)
        queue.settle(queue.pop(0), 100)
    for _ in range(burst):
        queue.push(turn("busy"))
    for _ in range(burst):
        queue.push(turn("sleeper"))
    first = Counter(queue.pop(0).tenant for _ in range(burst))

    assert abs(first["sleeper"] - first["busy"]) <= 1


@given(st.integers(EVERY, 400), st.lists(st.integers(1, 2), min_size=1, max_size=20))
def test_lower_levels_get_a_share_once_they_have_waited_and_no_more(turns, lower):
    queue = FairQueue(patience=1.0)
    for level in lower:
        queue.push(turn(f"low{level}", level))
    order = []
    for _ in range(turns):
        while queue.depths().get("high", 0) < 3:
            queue.push(turn("high"))
        order.append(queue.pop(5.0).priority)

    served = sum(1 for level in order if level)
    assert served == min(len(lower), turns // EVERY)


@given(st.integers(1, 100))
def test_lower_levels_that_came_just_now_wait(turns):
    queue = FairQueue(patience=1.0)
    queue.push(turn("low", 2, since=4.5))
    for _ in range(turns):
        queue.push(turn("high", since=5.0))
        assert queue.pop(5.0).tenant == "high"


@given(st.lists(st.tuples(tenants, levels, costs), max_size=200), st.integers(0, 30))
def test_a_full_queue_never_refuses_who_has_less_than_their_share(arrivals, limit):
    queue, kept = FairQueue(), limit // EVERY
    for name, level, cost in arrivals:
        tenant = name + str(level)
        made = turn(tenant, level, 1, cost)
        if queue.waiting >= limit:
            depths = Counter((t.priority, t.tenant) for t in queue)
            depth = Counter(t.priority for t in queue)
            own = depths[level, tenant] + 1
            victim = queue.displace(made, limit)
            if victim is None:
                assert all(depth[of] <= kept for of in range(level + 1, 3))
                assert not any(n > own for (of, _), n in depths.items() if of == level)
                assert depth[level] >= kept or not any(depth[of] for of in range(level))
                continue
            assert not victim.is_waiting
            most = depths[victim.priority, victim.tenant]
            assert most == max(n for (of, _), n in depths.items() if of == victim.priority)
            if victim.priority == level:
                assert most > own
            elif victim.priority > level:
                assert depth[victim.priority] > kept
            else:
                assert depth[level] < kept
        queue.push(made)
        assert queue.waiting <= limit


def test_a_flood_of_interactive_requests_does_not_close_the_queue_to_others():
    queue = FairQueue(patience=1.0)
    order = []
    for second in range(200):
        for made in [turn("flood", since=second) for _ in range(5)] + [turn("b", 1, since=second)]:
            if queue.waiting < 40 or queue.displace(made, 40) is not None:
                queue.push(made)
        order += [queue.pop(float(second)).priority for _ in range(2)]

    assert order[-80:].count(1) == 10


@given(
    st.lists(st.tuples(tenants, levels), max_size=40),
    st.tuples(tenants, levels),
    st.lists(tenants, max_size=10),
)
def test_who_is_ahead_is_known_but_for_ties(waiting, newcomer, served):
    queue = FairQueue()
    for name in served:
        queue.admit(turn(name + "0"))
    for name, level in waiting:
        queue.push(turn(name + str(level), level))
    made = turn(newcomer[0] + str(newcomer[1]), newcomer[1])
    expected = queue.ahead(made)
    queue.push(made)
    real = 0
    while queue.pop(0) is not made:
        real += 1

    assert abs(expected - real) <= 4  # tenants of a level


@given(st.lists(st.tuples(tenants, costs, costs), min_size=1, max_size=60), st.integers(1, 20))
def test_counters_do_not_grow_with_what_was_served(requests, rounds):
    queue, held = FairQueue(), []
    assume(len({name for name, _, _ in requests}) > 1)
    for _ in range(rounds):
        for name, cost, actual in requests:
            queue.push(turn(name, cost=cost, size=actual))
            held.append(queue.pop(0))
            if len(held) > 4:
                over = held.pop(0)
                queue.settle(over, over.size)
        queue.tidy()
        accounts = queue._levels[0].accounts.values()
        spread = sum(cost + actual for _, cost, actual in requests)
        assert all(abs(account.counter) <= 2 * spread for account in accounts)
