"""The ledger in memory says what the model says, whatever happens in whatever order."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.ledger import Claim, Grant, Limit, Order, Settlement
from proxy.rules.buckets import Book, reserve
from proxy.rules.settlement import forget_gone, settle, sweep
from proxy.stores.lines import Counters
from proxy.stores.memory import MemoryLedger

LEASE_S = 30.0
START_US = 1_801_440_000 * 1_000_000 - 5_000_000  # five seconds before February 2027
LIMITS = [
    Limit(name="requests", kind="rate", cap=3, amount=7, seconds=60),
    Limit(name="tokens", kind="rate", cap=2000, amount=200_000, seconds=60),
    Limit(name="slots", kind="slot", cap=2),
    Limit(name="day", kind="window", cap=5000),
    Limit(name="month", kind="money", cap=10**15, per="month"),
]
USUAL = (2, 900, 1, 2500, 10**14)
HUGE = 2**53 - 1


def grant_of(lease, verdict):
    """The model's verdict in the port's words: seconds, and ``None`` for never."""
    remaining = tuple(verdict.remaining)
    reset = tuple(us / 1_000_000 for us in verdict.reset)
    if verdict.denied < 0:
        return Grant(lease, None, 0.0, remaining, reset)
    wait = None if verdict.wait < 0 else verdict.wait / 1_000_000
    return Grant(None, verdict.denied, wait, remaining, reset)


@st.composite
def claim_lists(draw):
    picked = draw(
        st.lists(
            st.tuples(st.sampled_from(range(5)), st.sampled_from(["tenant", "user/7"])),
            min_size=1, max_size=4, unique=True,
        )
    )  # fmt: skip
    return tuple(
        Claim(LIMITS[i], scope, draw(st.integers(0, USUAL[i]) | st.integers(0, 3 * USUAL[i]) | st.just(HUGE)))
        for i, scope in picked
    )  # fmt: skip


STEPS = st.one_of(
    st.tuples(st.just("reserve"), claim_lists()),
    st.tuples(st.just("reserve"), claim_lists()),
    st.tuples(st.just("peek"), claim_lists()),
    st.tuples(st.just("settle"), st.integers(0, 9), st.sampled_from([0.0, 0.3, 0.9, 1.0, 1.5, 1e12])),
    st.tuples(st.just("settle"), st.integers(0, 9), st.sampled_from([0.0, 0.3, 0.9, 1.0, 1.5, 1e12])),
    st.tuples(
        st.just("turn"), st.sampled_from([1, 20_000, 200_000, 3_000_000, 31_000_000, 86_400_000_000])
    ),
)  # fmt: skip


def at_once(call):
    """The result of a coroutine that waits for nothing."""
    try:
        call.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waited")


class Both:
    """The ledger and the model, told the same things."""

    def __init__(self):
        self.now = START_US
        self.rows = []
        self.model_rows = []
        self.ledger = MemoryLedger(self, self.rows.append, lease_s=LEASE_S)
        self.book = Book("acme")
        self.counters = Counters()
        self.leases = []
        self.orders = {}

    def wall(self):
        return self.now / 1_000_000

    def play(self, step):
        kind, *args = step
        if kind == "turn":
            self.now += args[0]
            return
        if kind in ("reserve", "peek"):
            self.model_rows += sweep(self.book, self.now)
        getattr(self, kind)(*args)

    def order(self, claims):
        """The same one each time, as a request's sheet has it, and its amounts.

        It takes them in reverse, to tell a place from an index.
        """
        spots = tuple((limit, scope, -1 - i) for i, (limit, scope, _) in enumerate(claims))
        order = self.orders.setdefault(spots, Order("acme", spots))
        return order, tuple(claim.amount for claim in reversed(claims))

    def reserve(self, claims):
        grant = at_once(self.ledger.reserve(*self.order(claims), b"{}"))
        lease = grant.lease or f"none{self.now}{len(self.leases)}"
        lines = self.counters.lines(claims)
        verdict = reserve(self.book, self.now, lease, lines, int(LEASE_S * 1e6), b"{}")
        assert grant_of(lease if verdict.denied < 0 else None, verdict) == grant
        if grant.lease:
            self.leases.append((lease, claims))

    def peek(self, claims):
        grant = at_once(self.ledger.peek(*self.order(claims)))
        verdict = reserve(self.book, self.now, "", self.counters.lines(claims))
        assert grant_of(None, verdict) == grant

    def settle(self, which, share):
        if which >= len(self.leases):
            return
        lease, claims = self.leases[which]
        actual = tuple(min(int(claim.amount * share), HUGE) for claim in claims)
        self.ledger.settle(lease, Settlement(actual[::-1], b'{"n":1}'))
        lines = [
            (line, a) for (line, _), a in zip(self.counters.lines(claims), actual, strict=True)
        ]
        row = settle(self.book, self.now, lease, lines, b'{"n":1}', self.book.born)
        if row is not None:
            self.model_rows.append(row)


@given(st.lists(STEPS, min_size=5, max_size=40))
def test_memory_equals_the_model(steps):
    both = Both()
    for step in steps:
        both.play(step)
    both.play(("peek", tuple(Claim(limit, "tenant", 0) for limit in LIMITS)))

    assert both.rows == both.model_rows


@given(st.lists(st.tuples(st.integers(-10_000_000, 10_000_000), st.integers(0, 900)), max_size=40))
def test_a_clock_that_jumps_lets_nobody_have_more_than_time_gave(steps):
    """Counted from the earliest to the latest that the clock ever was."""
    both = Both()
    seen, given_ = [both.now], 0
    for jump, amount in steps:
        both.now += jump
        seen.append(both.now)
        grant = at_once(both.ledger.reserve(*both.order((Claim(LIMITS[1], "tenant", amount),))))
        given_ += amount if grant.lease else 0
    jumps = sum(max(0, later - earlier) for earlier, later in pairwise(seen))

    assert given_ <= 2000 + jumps * 200_000 / 60_000_000


@given(st.lists(STEPS, min_size=30, max_size=60))
def test_tidying_changes_nothing(steps):
    """Counters that say nothing are dropped, and nobody can tell."""
    both = Both()
    for step in steps:
        both.ledger._tidy(both.now)
        forget_gone(both.book, both.now)
        both.play(step)

    assert both.rows == both.model_rows
