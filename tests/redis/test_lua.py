"""The scripts do exactly what the model does, to the same numbers, and the books balance."""

import socket
from collections import Counter

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.ledger import Claim, Limit
from proxy.rules.buckets import Book, reserve
from proxy.rules.counters import RATE, SLOT, window_of
from proxy.rules.settlement import extend, forget_gone, settle, sweep
from proxy.stores.lines import Counters
from proxy.stores.redis import _row
from proxy.stores.scripts import load_scripts

KEY = b"ss:{t.acme}"
START = 1_801_440_000 * 1_000_000 - 5_000_000  # five seconds before February 2027
SCRIPTS = load_scripts("redis.call('HMGET', 'hands', 's', 'us')")
LIMITS = [
    Limit(name="requests", kind="rate", cap=3, amount=7, seconds=60),
    Limit(name="tokens", kind="rate", cap=2000, amount=200_000, seconds=60),
    Limit(name="slots", kind="slot", cap=2),
    Limit(name="streams", kind="slot", cap=3),
    Limit(name="day", kind="window", cap=5000),
    Limit(name="month", kind="money", cap=10**15, per="month"),
]

# Amounts that mostly fit, so that histories have something to settle; the rest are
# as large as can be.
USUAL = (2, 900, 1, 1, 2500, 10**14)
HUGE = 2**53 - 1


def amount_of(limit):
    usual = st.integers(0, USUAL[limit])
    return st.one_of(usual, usual, usual, usual, st.integers(0, 3 * USUAL[limit]), st.just(HUGE))


@st.composite
def claim_lists(draw):
    """Rates mostly; each limit at most once a scope."""
    picked = draw(
        st.lists(
            st.tuples(st.sampled_from([0, 1, 1, 2, 3, 4, 4, 5]), st.sampled_from(SCOPES)),
            min_size=1,
            max_size=4,
            unique=True,
        )
    )
    return [(limit, scope, draw(amount_of(limit))) for limit, scope in picked]


SCOPES = ["tenant", "tenant", "user/7"]
leases = st.sampled_from("abcdef")
shares = st.lists(st.sampled_from([0.0, 0.3, 0.9, 1.0, 1.0, 1.5, 1e12]), min_size=4, max_size=4)
records = st.sampled_from([b"", b'{"n":1}'])
seen = st.sampled_from(["first", "this", "earlier", "unknown"])
ttls = st.sampled_from([1_000_000, 30_000_000, 30_000_000, 0])
KINDS = {
    "reserve": st.tuples(leases, claim_lists(), ttls, records),
    "settle": st.tuples(leases, shares, records, seen),
    "turn": st.tuples(
        st.sampled_from([0, 1, 20_000, 200_000, 200_000, 3_000_000, -2_000_000, 86_400_000_000])
    ),
    "replay": st.tuples(leases),
    "extend": st.tuples(st.lists(leases, max_size=3, unique=True), ttls),
    "peek": st.tuples(claim_lists()),
    "empty": st.tuples(),
}
# Drawn by name, or hypothesis would take every leaf to be as likely as any other.
OFTEN = ["reserve"] * 8 + ["settle"] * 7 + ["turn"] * 3 + ["replay", "extend", "peek"]


@st.composite
def histories(draw):
    names = draw(st.lists(st.sampled_from([*OFTEN, *OFTEN, "empty"]), min_size=12, max_size=30))
    return [(name, *draw(KINDS[name])) for name in names]


class Wire:
    """Plain calls on one socket."""

    def __init__(self, port):
        self._sock = socket.create_connection(("127.0.0.1", port), timeout=5)
        self._reader = hiredis.Reader()
        for script in SCRIPTS:
            self.call("SCRIPT", "LOAD", script.text)

    def call(self, *words):
        self._sock.sendall(hiredis.pack_command(words))
        while (reply := self._reader.gets()) is False:
            self._reader.feed(self._sock.recv(65536))
        if isinstance(reply, hiredis.ReplyError):
            raise reply
        return reply

    def run(self, script, *args):
        return self.call("EVALSHA", script.sha, 1, KEY + b":l", *args)

    def rows(self):
        return [_row("acme", fields) for _, fields in self.call("XRANGE", KEY + b":u", "-", "+")]

    def close(self):
        self._sock.close()


@pytest.fixture(scope="module")
def wire(shared_server):
    wire = Wire(shared_server.port)
    yield wire
    wire.close()


class Pair:
    """The model and the scripts, told the same things."""

    def __init__(self, wire, *, is_honest=False):
        self.wire = wire
        self.is_honest = is_honest
        self.begun = {}
        self.counters = Counters()
        self.now = START
        self.book = Book("acme")
        self.rows = []
        self.claims = {}
        self.sent = {}
        self.turn(0)
        self.empty()

    def turn(self, us):
        self.now += us
        s, us = divmod(self.now, 1_000_000)
        self.wire.call("HSET", "hands", "s", s, "us", us)

    def empty(self):
        """The store is restarted, with nothing in it."""
        self.wire.call("FLUSHALL")
        self.turn(0)
        self.book = Book("acme")
        self.rows = []

    def _claims(self, spec):
        return tuple(Claim(LIMITS[i], scope, amount) for i, scope, amount in spec)

    def reserve(self, lease, spec, ttl, record):
        if lease in self.claims and lease not in self.book.leases and lease not in self.book.gone:
            return  # the ledger never uses a lease's name again
        claims = self.claims.setdefault(lease, self._claims(spec))
        verdict = reserve(self.book, self.now, lease, self.counters.lines(claims), ttl, record)
        reply = self.wire.run(SCRIPTS.reserve, lease, ttl, self.counters.pack(claims), record)
        self._same(verdict, reply)
        if verdict.denied < 0:
            self.begun.setdefault(lease, self.book.born)

    def peek(self, spec):
        claims = self._claims(spec)
        verdict = reserve(self.book, self.now, "", self.counters.lines(claims))
        reply = self.wire.run(SCRIPTS.reserve, "", 0, self.counters.pack(claims), b"")
        self._same(verdict, reply)

    def _same(self, verdict, reply):
        assert reply[0] == (verdict.denied < 0)
        assert reply[1] == verdict.denied + 1
        assert reply[2] == verdict.wait
        assert reply[3] == self.book.born
        assert reply[4::2] == verdict.remaining
        assert reply[5::2] == verdict.reset

    def settle(self, lease, shares, record, seen):
        if lease not in self.claims:
            return
        amounts = [
            min(HUGE, int(claim.amount * share))
            for claim, share in zip(self.claims[lease], shares, strict=False)
        ]
        if lease in self.sent:
            # A lease has one settlement; what differs is what is known of its fate.
            amounts, record = self.sent[lease]
        elif lease not in self.book.leases and lease not in self.book.gone:
            seen = "first"
        claims = self.claims[lease]
        is_new = lease not in self.sent
        self.sent[lease] = (amounts, record)
        if not is_new and seen == "first":
            seen = "this"
        born = {"first": None, "this": self.book.born, "earlier": 5, "unknown": 0}[seen]
        if self.is_honest:  # what a ledger knows is which book its reservation was made in
            born = None if is_new else self.begun.get(lease, 0)
        lines = [
            (line, amount)
            for (line, _), amount in zip(self.counters.lines(claims), amounts, strict=True)
        ]
        row = settle(self.book, self.now, lease, lines, record, born)
        self.rows += [row] if row else []
        packed = self.counters.pack(claims, amounts)
        self.wire.run(
            SCRIPTS.settle, lease, packed, record, 10**6, "" if born is None else str(born)
        )

    def replay(self, lease):
        if lease in self.sent:
            self.settle(lease, [], b"", "this")

    def extend(self, names, ttl):
        kept = sum(extend(self.book, self.now, lease, ttl) for lease in names)
        self.rows += sweep(self.book, self.now)
        forget_gone(self.book, self.now)
        assert self.wire.run(SCRIPTS.extend, ttl, 10**6, *names) == kept

    def cells(self):
        """Every counter as the store has it; an empty rate is as good as none."""
        found = {}
        for key in self.wire.call("KEYS", KEY + b":c:*"):
            scope = key.decode().split(":c:", 1)[1]
            words = [word.decode() for word in self.wire.call("HGETALL", key)]
            for name, text in zip(words[::2], words[1::2], strict=True):
                found[f"{scope}:{name}"] = [int(number) for number in text.split()]
        return found

    def balance(self):
        """What each window should be: the last rows of leases, and what is still open."""
        last = {row.lease: row.charges for row in self.rows}
        due = Counter()
        for charges in last.values():
            for counter, window, amount in charges:
                due[counter, window] += amount
        for lease in self.book.leases.values():
            for line, amount, token in lease.taken:
                if line.kind not in (RATE, SLOT):
                    due[line.counter, token] += amount
        return due


def play(wire, history, **kind):
    pair = Pair(wire, **kind)
    for name, *args in history:
        getattr(pair, name)(*args)
    return pair


@given(histories())
def test_the_scripts_equal_the_model(wire, history):
    """Replies are compared at every step, state and ledger at the end."""
    pair = play(wire, history)

    assert wire.rows() == pair.rows
    assert pair.cells() == pair.book.cells
    assert {k.decode() for k in wire.call("ZRANGE", KEY + b":z", 0, -1)} == set(pair.book.leases)
    held = {k.decode() for k in wire.call("HKEYS", KEY + b":l")}
    assert held - {"*"} == set(pair.book.leases) | set(pair.book.gone)


@given(histories())
def test_the_sum_of_the_ledger_is_what_the_counters_say(wire, history):
    """After any interleaving of reserve, settle, extend, crash, replay and restart."""
    pair = play(wire, [step for step in history if not _is_huge(step)], is_honest=True)
    due = pair.balance()

    assert wire.rows() == pair.rows
    for counter, cell in pair.cells().items():
        if len(cell) == 2:
            assert due[counter, cell[1]] == cell[0]
    for (counter, window), amount in due.items():
        per = 2 if counter.endswith("month") else 1
        if amount and window >= window_of(per, pair.now)[0]:
            used, current = pair.cells()[counter]
            # A clock that went back over midnight finds the next day begun.
            assert current > window or [used, current] == [amount, window]


def _is_huge(step):
    """Beyond what a store keeps exactly, counts stop at the top."""
    if step[0] == "settle":
        return max(step[2]) > 2
    return step[0] == "reserve" and any(amount == HUGE for _, _, amount in step[2])


def test_leases_left_behind_in_their_thousands_are_all_found(wire):
    """No single call marks them all, but none is forgotten and none holds a slot."""
    pair = Pair(wire)
    slots = Limit(name="many", kind="slot", cap=5000)
    packed = Counters().pack((Claim(slots, "tenant"), Claim(LIMITS[5], "tenant", 7)))
    for i in range(1200):
        assert wire.run(SCRIPTS.reserve, f"x{i}", 1_000_000, packed, b"{}")[0] == 1
    pair.turn(1_000_000)

    after = wire.run(SCRIPTS.reserve, "y", 1_000_000, packed, b"{}")
    found = []
    for _ in range(3):
        wire.run(SCRIPTS.extend, 0, 10**6)
        found.append(len(wire.rows()))

    assert after[4] == 4999
    assert found == [1000, 1200, 1200]
    assert {row.state for row in wire.rows()} == {"abandoned"}


def test_a_wrong_argument_writes_nothing(wire):
    pair = Pair(wire)
    with pytest.raises(hiredis.ReplyError):
        wire.run(SCRIPTS.reserve, "a", 1, b"\xc1", b"")
    with pytest.raises(hiredis.ReplyError):
        wire.run(SCRIPTS.settle, "a", b"\xc1", b"", 10**6, "")

    assert pair.cells() == {}
    assert wire.call("KEYS", KEY + b"*") == []
