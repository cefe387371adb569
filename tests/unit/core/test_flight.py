"""Many who wait for one answer."""

import asyncio

import pytest

from proxy.core.cache import Key
from proxy.core.errors import (
    BudgetSpent,
    ContentBlocked,
    GuardUnavailable,
    LimitsDown,
    Overloaded,
    PromptTooLong,
    RateLimited,
    Unauthenticated,
    UpstreamReset,
)
from proxy.core.exchange import End, Head
from proxy.core.fills import Fills, Flights, Work
from proxy.core.flight import BACKLOG, Flight
from proxy.core.policy import Policy
from tests.kit import FakeClock, exchange


class Tasks:
    """Work is begun at once, and time goes by in turns of the loop."""

    bell = staticmethod(asyncio.Event)

    def __init__(self):
        self.begun = []

    def begin(self, work):
        task = asyncio.get_running_loop().create_task(work)
        self.begun.append(task)
        return task

    async def pause(self, seconds):
        await asyncio.sleep(0)


def flight(limit=1000):
    return Flight(exchange(), asyncio.Event, limit)


class Client:
    """Takes what it is given; when it is full, ``drain`` waits for ``gate``."""

    def __init__(self, *, is_full=False):
        self.got = []
        self.is_full = is_full
        self.gate = asyncio.Event()

    def write(self, data):
        self.got.append(data)
        return not self.is_full

    async def drain(self):
        await self.gate.wait()
        self.is_full = False


async def turns(count=5):
    for _ in range(count):
        await asyncio.sleep(0)


async def pumping(made, client, **more):
    follower = made.follow(exchange(), leads=more.get("leads", False), see=more.get("see"))
    await follower.ready()
    return follower, asyncio.create_task(follower.pump(client.write, client.drain))


async def test_early_and_late_see_the_same():
    made, early, late = flight(), Client(), Client()
    made.start(made.x, Head(200, []))
    _, one = await pumping(made, early)
    made.write(b"a")
    await turns()
    made.write(b"b")
    _, two = await pumping(made, late)
    await turns()
    made.write(b"c")
    made.finish()
    await asyncio.gather(one, two)

    assert early.got == late.got == [b"a", b"b", b"c"]


async def test_who_is_behind_holds_up_nobody():
    made, slow, fast = flight(), Client(is_full=True), Client()
    made.start(made.x, Head(200, []))
    _, one = await pumping(made, slow)
    _, two = await pumping(made, fast)
    await turns()
    for piece in (b"a", b"b", b"c"):
        assert made.write(piece)
    made.finish()
    await two
    assert fast.got == [b"a", b"b", b"c"]
    assert slow.got == [b"a"]
    slow.gate.set()
    await one

    assert slow.got == [b"a", b"b", b"c"]


async def test_a_client_that_is_gone_is_its_own_trouble():
    made, fine = flight(), Client()

    def write(data):
        raise ConnectionResetError

    made.start(made.x, Head(200, []))
    gone = made.follow(exchange(), leads=True, see=None)
    await gone.ready()
    one = asyncio.create_task(gone.pump(write, fine.drain))
    _, two = await pumping(made, fine)
    await turns()
    made.write(b"a")
    made.finish()
    await two

    assert fine.got == [b"a"]
    with pytest.raises(ConnectionResetError):
        await one


async def test_a_failure_comes_after_what_had_come():
    made, client = flight(), Client()
    made.start(made.x, Head(200, []))
    _, one = await pumping(made, client)
    made.write(b"a")
    made.refuse(made.x, UpstreamReset("gone"))

    with pytest.raises(UpstreamReset):
        await one
    assert client.got == [b"a"]
    assert not made.may_join


async def test_what_is_too_large_to_keep_waits_for_the_slowest():
    made, client = flight(limit=10), Client(is_full=True)
    made.start(made.x, Head(200, []))
    _, one = await pumping(made, client)
    await turns()
    made.write(b"x" * BACKLOG)
    assert not made.is_kept
    assert not made.write(b"y" * (BACKLOG + 1))
    waiting = asyncio.create_task(made.drain())
    await turns()
    assert not waiting.done()
    client.gate.set()
    await turns()
    assert waiting.done()
    assert not made.may_join
    made.finish()
    await one


async def test_who_waits_for_the_whole_holds_back_nobody():
    made, client = flight(limit=10), Client()
    made.start(made.x, Head(200, []))
    waiting = [made.follow(exchange(), leads=False, see=None) for _ in range(3)]
    told = [asyncio.create_task(follower.whole()) for follower in waiting]
    _, one = await pumping(made, client)
    await turns()
    for _ in range(20):
        assert made.write(b"x" * BACKLOG)
    assert await asyncio.wait_for(asyncio.gather(*told), 1) == [False] * 3
    made.finish()
    await one

    assert sum(map(len, client.got)) == 20 * BACKLOG


async def test_who_begins_to_wait_for_the_whole_lets_the_stream_go_on():
    made = flight(limit=10)
    made.start(made.x, Head(200, []))
    late = made.follow(exchange(), leads=False, see=None)
    assert not made.write(b"x" * (BACKLOG + 1))
    drained = asyncio.create_task(made.drain())
    await turns()
    assert not drained.done()

    assert not await asyncio.wait_for(late.whole(), 1)
    await asyncio.wait_for(drained, 1)


@pytest.mark.parametrize("error", [None, UpstreamReset("gone")])
async def test_who_waits_for_the_whole_has_it_or_the_failure(error):
    made = flight()
    made.start(made.x, Head(200, []))
    whole = asyncio.create_task(made.follow(exchange(), leads=True, see=None).whole())
    await turns()
    made.write(b"a")
    if error is None:
        made.finish()
        assert await whole
        assert made.body == b"a"
    else:
        made.refuse(made.x, error)
        with pytest.raises(UpstreamReset):
            await whole


async def test_one_may_see_less_than_another():
    made, less, all_of_it = flight(), Client(), Client()
    made.start(made.x, Head(200, [], length=9))
    follower, one = await pumping(made, less, see=lambda data: data.replace(b"secret", b""))
    _, two = await pumping(made, all_of_it)
    await turns()
    made.write(b"a secret")
    made.write(b"secret")
    made.finish()
    await asyncio.gather(one, two)

    assert less.got == [b"a "]
    assert follower.head.length is None
    assert all_of_it.got == [b"a secret", b"secret"]


async def test_only_the_leader_is_told_what_the_upstream_said_of_its_request():
    made = flight()
    headers = [(b"content-type", b"a/b"), (b"x-ratelimit-remaining", b"1"), (b"Retry-After", b"2")]
    made.start(made.x, Head(200, headers))
    leader = made.follow(exchange(), leads=True, see=None)
    other = made.follow(exchange(), leads=False, see=None)
    await leader.ready()
    await other.ready()

    assert leader.head.headers == headers
    assert [name for name, _ in other.head.headers] == [b"content-type", b"Retry-After"]


def fills(rest, clock=None):
    ends = []
    made = Fills(
        Flights(),
        Tasks(),
        clock or FakeClock(),
        lambda x, leg, _: rest(x, leg),
        lambda _, end: ends.append(end.kind),
    )
    made.ends = ends
    return made


def work(x=None, kept=None):
    kept = [] if kept is None else kept

    def keep(flight, end):
        kept.append(end.kind)
        return end.kind == "complete"

    return Work(Policy(), x or exchange(), b"name", keep, 1000)


async def answered(x, leg):
    leg.start(x, Head(200, []))
    leg.write(b"hello")
    leg.finish()
    return End("complete")


async def test_ten_who_join_make_one_exchange():
    count = []

    async def rest(x, leg):
        count.append(x)
        await asyncio.sleep(0)
        return await answered(x, leg)

    made, kept = fills(rest), []
    followers = await asyncio.gather(*(made.join(work(kept=kept)) for _ in range(10)))
    await asyncio.gather(*made.tasks.begun)

    assert len(count) == 1
    assert [f.leads for f in followers].count(True) == 1
    assert kept == ["complete"]
    assert len(made.flights) == 0
    assert made.ends == []


async def test_who_asks_for_something_else_under_the_same_name_goes_alone():
    made = fills(answered)
    one, other = await asyncio.gather(*(made.join(work()._replace(ident=i)) for i in "ab"))
    await asyncio.gather(*made.tasks.begun)

    assert one.leads
    assert other is None
    assert len(made.tasks.begun) == 1


async def test_a_refusal_reaches_only_the_one_who_was_refused():
    refused = []

    async def rest(x, leg):
        await asyncio.sleep(0)
        if not refused:
            refused.append(x)
            leg.refuse(x, Overloaded("not you"))
            return End("refused")
        return await answered(x, leg)

    made = fills(rest)
    results = await asyncio.gather(*(made.join(work()) for _ in range(5)), return_exceptions=True)
    await asyncio.gather(*made.tasks.begun)

    assert [type(r) for r in results].count(Overloaded) == 1
    assert isinstance(results[0], Overloaded)
    assert len(made.tasks.begun) == 2


@pytest.mark.parametrize(
    "error", [ContentBlocked("no"), GuardUnavailable("?"), UpstreamReset("gone")]
)
@pytest.mark.parametrize("is_started", [False, True])
async def test_a_verdict_on_the_answer_reaches_all_who_wait(error, is_started):
    async def rest(x, leg):
        if is_started:
            leg.start(x, Head(200, [], is_stream=True))
        await asyncio.sleep(0)
        leg.refuse(x, error)
        return End("refused")

    async def one():
        follower = await made.join(work())
        await follower.pump(Client().write, Client().drain)

    made = fills(rest)
    results = await asyncio.gather(*(one() for _ in range(40)), return_exceptions=True)
    await asyncio.gather(*made.tasks.begun)

    assert results == [error] * 40
    assert len(made.tasks.begun) == 1


@pytest.mark.parametrize(
    "error",
    [RateLimited("slow"), BudgetSpent("spent"), Unauthenticated("who"), Overloaded("full"),
     PromptTooLong("long"), LimitsDown("down")],
)  # fmt: skip
async def test_what_one_may_not_is_no_answer_to_another(error):
    async def rest(x, leg):
        await asyncio.sleep(0)
        if x.tenant == "poor":
            leg.refuse(x, error)
            return End("refused")
        return await answered(x, leg)

    def of(tenant):
        x = exchange()
        x.tenant = tenant
        return work(x)

    made = fills(rest)
    asked = [made.join(of(tenant)) for tenant in ("poor", "rich", "rich")]
    results = await asyncio.gather(*asked, return_exceptions=True)
    await asyncio.gather(*made.tasks.begun)

    assert results[0] is error
    assert [r.head.status for r in results[1:]] == [200, 200]
    assert len(made.tasks.begun) == 2


async def test_a_verdict_on_what_a_budget_made_of_an_answer_is_nobody_elses():
    async def rest(x, leg):
        await asyncio.sleep(0)
        x.is_altered = True
        leg.refuse(x, ContentBlocked("no"))
        return End("refused")

    made = fills(rest)
    results = await asyncio.gather(*(made.join(work()) for _ in range(3)), return_exceptions=True)
    await asyncio.gather(*made.tasks.begun)

    assert isinstance(results[0], ContentBlocked)
    assert results[1:] == [None, None]


async def test_a_flight_says_that_it_goes_on_for_as_long_as_it_does():
    beats, gate = [], asyncio.Event()

    async def beat():
        beats.append(None)
        if len(beats) == 3:
            gate.set()

    async def rest(x, leg):
        await gate.wait()
        return await answered(x, leg)

    made = fills(rest)
    await made.join(work()._replace(beat=beat))
    await asyncio.gather(*made.tasks.begun, return_exceptions=True)
    count = len(beats)
    await turns()

    assert 3 <= count == len(beats)


async def test_flags_and_source_of_an_answer_are_everybodys_who_waits():
    async def rest(x, leg):
        await asyncio.sleep(0)
        x.source, x.flags = "main", ("banned",)
        return await answered(x, leg)

    made = fills(rest)
    of = [exchange() for _ in range(3)]
    for x in of:
        x.flags = ("of another try",)
    await asyncio.gather(*(made.join(work(x)) for x in of))
    await asyncio.gather(*made.tasks.begun)

    assert {(x.source, x.flags) for x in of} == {("main", ("banned",))}


async def never(x, leg):
    leg.start(x, Head(200, []))
    await asyncio.Event().wait()


async def test_when_the_last_leaves_it_is_ended_and_its_own_end_is_told_already():
    made, kept = fills(never), []
    follower = await made.join(work(kept=kept))
    follower.close()
    await asyncio.gather(*made.tasks.begun, return_exceptions=True)

    assert kept == ["client_gone"]
    assert made.ends == []
    assert len(made.flights) == 0


@pytest.mark.parametrize(("leaves", "told"), [((0, 1), ["client_gone"]), ((1, 0), [])])
async def test_it_is_told_of_unless_its_first_was_the_last_to_leave(leaves, told):
    """That one's own line says it."""
    made = fills(never)
    followers = [await made.join(work()) for _ in leaves]
    for place in leaves:
        followers[place].close()
    await asyncio.gather(*made.tasks.begun, return_exceptions=True)

    assert made.ends == told


async def test_what_outlasts_its_client_and_cannot_be_kept_is_told_of():
    go = asyncio.Event()

    async def rest(x, leg):
        leg.start(x, Head(200, []))
        await go.wait()
        leg.write(b"x" * 1001)
        await never(x, leg)

    made = fills(rest)
    leader = await made.join(work()._replace(outlasts=True))
    leader.close()
    assert made.flights.left == 1
    go.set()
    await asyncio.gather(*made.tasks.begun, return_exceptions=True)

    assert made.ends == ["client_gone"]
    assert made.flights.left == 0


async def test_an_exchange_whose_client_left_is_told_of_when_it_ends():
    gate = asyncio.Event()

    async def rest(x, leg):
        leg.start(x, Head(200, []))
        await gate.wait()
        leg.finish()
        return End("complete")

    made = fills(rest)
    leader = await made.join(work())
    other = await made.join(work())
    leader.close()
    gate.set()
    await asyncio.gather(*made.tasks.begun)
    other.close()

    assert made.ends == ["complete"]


async def test_a_refresh_that_failed_is_not_tried_again_at_once():
    tried = []

    async def rest(x, leg):
        tried.append(x)
        leg.refuse(x, UpstreamReset("gone"))
        return End("upstream_broke")

    clock = FakeClock()
    made = fills(rest, clock)
    for _ in range(3):
        made.refresh(work())
        await asyncio.gather(*made.tasks.begun)
    assert len(tried) == 1
    clock.advance(6)
    made.refresh(work())
    await asyncio.gather(*made.tasks.begun)

    assert len(tried) == 2
    assert tried[0].notes == {"cache": "refresh"}


async def test_a_refresh_that_is_purged_before_it_begins_is_counted_no_more():
    made = fills(answered)
    made.refresh(work()._replace(keys=(Key(b"k"),)))
    made.flights.purge({b"k"})
    await asyncio.gather(*made.tasks.begun, return_exceptions=True)

    assert (len(made.flights), made.flights.left) == (0, 0)


async def test_who_comes_while_one_is_given_up_starts_another():
    begun = []

    async def rest(x, leg):
        begun.append(x)
        if len(begun) == 1:
            await asyncio.Event().wait()
        return await answered(x, leg)

    made = fills(rest)
    first = asyncio.create_task(made.join(work()))
    await turns()
    first.cancel()
    await asyncio.sleep(0)
    follower = await asyncio.wait_for(made.join(work()), 1)
    await asyncio.gather(*made.tasks.begun, return_exceptions=True)

    assert len(begun) == 2
    assert follower.head.status == 200


async def test_a_fill_that_is_cancelled_leaves_nobody_waiting():
    async def rest(x, leg):
        leg.start(x, Head(200, []))
        await asyncio.Event().wait()

    made = fills(rest)
    follower = await made.join(work())
    client = Client()
    pump = asyncio.create_task(follower.pump(client.write, client.drain))
    await turns()
    made.tasks.begun[0].cancel()

    with pytest.raises(Overloaded):
        await asyncio.wait_for(pump, 1)
