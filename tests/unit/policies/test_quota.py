"""Limits, by the ledger in memory and hands that only the test turns."""

import asyncio
import contextlib
from dataclasses import dataclass, field

import orjson
import pytest

from proxy.core.errors import (
    BudgetSpent,
    LimitsDown,
    PriceUnknown,
    RateLimited,
    RequestTooDear,
    TokensLimited,
)
from proxy.core.exchange import End, Head, Usage
from proxy.core.ledger import Claim, Grant, Limit, order_of
from proxy.core.plan import Plan, Target
from proxy.policies.quota import Means, QuotaPolicy
from proxy.rules.allowance import Allowance, AllowanceTable, Bound, Tenancy, budget_of
from proxy.rules.globs import GlobSet
from proxy.rules.prices import Price, cost_nanos
from proxy.stores.memory import MemoryLedger
from proxy.wire.endpoints import EXACT
from tests.kit import FakeClock, exchange

PRICE = Price(input=10**9, output=2 * 10**9)  # a thousand nano-dollars a token, and two
REQUESTS = Limit(name="requests", kind="rate", cap=2, amount=60, seconds=60)
TOKENS = Limit(name="tokens", kind="rate", cap=1000, amount=6000, seconds=60)
SLOTS = Limit(name="concurrency", kind="slot", cap=1)
STREAMS = Limit(name="streams", kind="slot", cap=1)
MONEY = Limit(name="budget", kind="money", cap=1_000_000)


def bound(limit, measure, **more):
    return Bound(**{"limit": limit, "by": "tenant", "measure": measure, "shown": "so much",
                    "scope": "tenant"} | more)  # fmt: skip


def money(action="reject", *, soft=0.0, model="", most=0, by="tenant"):
    budget = budget_of(MONEY, soft, action, model=model, most=most)
    scope = "tenant" if by == "tenant" else ""
    return bound(MONEY, "cost", budget=budget, by=by, scope=scope)


@dataclass
class Desk:
    """A policy, its ledger and everybody who is told."""

    policy: QuotaPolicy
    ledger: MemoryLedger
    clock: FakeClock
    rows: list = field(default_factory=list)
    told: list = field(default_factory=list)
    refused: list = field(default_factory=list)

    def tell(self, alert):
        self.told.append((alert.kind, alert.facts["scope"]))

    async def left(self, *limits):
        claims = tuple(Claim(limit, "tenant", 0) for limit in limits)
        grant = await self.ledger.peek(*order_of("acme", claims))
        return grant.remaining


def desk(*bounds, users=(), models=(), table=None, ledger=None, price=PRICE):
    clock = FakeClock()
    made = Desk(None, None, clock)
    made.ledger = ledger or MemoryLedger(clock, made.rows.append)

    def set_price(x):
        if x.usage is not None and price is not None:
            x.cost_nanos = cost_nanos(price, x.usage)

    means = Means(
        ledger=made.ledger,
        has_ledger=True,
        alerts=made,
        clock=clock,
        find_price=lambda _: price,
        price=set_price,
        replan=lambda _, model: Plan("cheap", (Target("cheap", "u", model),)),
        may_lead=lambda x, plan: plan.route == "cheap" and x.asked_route != "guarded",
        refused=lambda tenant, limit: made.refused.append((tenant, limit)),
    )
    tenancy = Tenancy(
        own=Allowance(bounds=bounds),
        users=Allowance(bounds=users) if users else None,
        models=models,
    )
    made.policy = QuotaPolicy(AllowanceTable({"acme": tenancy} if table is None else table), means)
    return made


def asked(prompt=100, output=200, **fields):
    return exchange(
        **{"tenant": "acme", "model": "m", "plan": Plan("r", (Target("t", "u"),)),
           "estimate": Usage(prompt, output, estimated=True)} | fields
    )  # fmt: skip


def answered(x, prompt=100, output=50):
    x.attempts, x.upstream_status, x.status = 1, 200, 200
    x.usage = Usage(prompt, output)
    x.cost_nanos = cost_nanos(PRICE, x.usage)
    return x


def headers(x):
    return {name.decode(): value.decode() for name, value in x.answer_headers}


async def test_reserves_the_estimate_and_settles_on_what_was_used():
    d = desk(bound(REQUESTS, "requests"), bound(TOKENS, "tokens"), bound(SLOTS, "slots"))
    x = asked()

    await d.policy.on_request(x)
    during = await d.left(TOKENS, SLOTS)
    d.policy.on_end(answered(x), End("complete"))

    assert during == (700, 0)
    assert await d.left(REQUESTS, TOKENS, SLOTS) == (1, 850, 1)
    (row,) = d.rows
    assert row.state == "settled"
    assert {"tenant": "acme", "in": 100, "out": 50, "estimated": False}.items() <= orjson.loads(
        row.record
    ).items()


async def test_every_answer_says_what_is_left():
    d = desk(bound(REQUESTS, "requests"), bound(TOKENS, "tokens"))
    x = asked()
    await d.policy.on_request(x)

    assert headers(x) == {
        "x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "1",
        "x-ratelimit-reset-requests": "1s", "x-ratelimit-limit-tokens": "6000",
        "x-ratelimit-remaining-tokens": "700", "x-ratelimit-reset-tokens": "3s",
    }  # fmt: skip


async def test_of_two_bounds_of_a_kind_the_nearer_is_told():
    day = Limit(name="day", kind="window", cap=400)
    d = desk(bound(TOKENS, "tokens"), bound(day, "tokens"))
    x = asked()
    await d.policy.on_request(x)

    assert headers(x)["x-ratelimit-limit-tokens"] == "400"
    assert headers(x)["x-ratelimit-remaining-tokens"] == "100"


async def test_over_a_rate_a_client_is_told_exactly_when_to_come_back():
    d = desk(bound(REQUESTS, "requests"))
    for _ in range(2):
        await d.policy.on_request(asked())
    x = asked()
    with pytest.raises(RateLimited, match="try again in 1 s") as caught:
        await d.policy.on_request(x)
    d.policy.on_end(x, End("refused", caught.value))
    d.clock.advance(caught.value.retry_after)

    assert (caught.value.retry_after, caught.value.type) == (1.0, "requests")
    assert headers(x)["x-ratelimit-remaining-requests"] == "0"
    assert d.refused == [("acme", "requests")]
    assert await d.policy.on_request(asked()) is None


async def test_a_request_larger_than_the_limit_is_not_told_to_come_back():
    d = desk(bound(TOKENS, "tokens"))
    with pytest.raises(TokensLimited, match="smaller") as caught:
        await d.policy.on_request(asked(prompt=2000))

    assert (caught.value.retry_after, caught.value.type) == (None, "tokens")


async def test_a_full_house_guesses_when_a_place_is_free_by_how_long_requests_took():
    d = desk(bound(SLOTS, "slots"))
    first = asked()
    await d.policy.on_request(first)
    d.clock.advance(4.0)
    d.policy.on_end(answered(first), End("complete"))
    await d.policy.on_request(asked())
    with pytest.raises(RateLimited) as caught:
        await d.policy.on_request(asked())

    assert caught.value.retry_after == 5.0


@pytest.mark.parametrize("is_stream", [False, True])
async def test_streams_are_bounded_among_themselves(is_stream):
    d = desk(bound(STREAMS, "slots", for_streams=True))
    await d.policy.on_request(asked(stream=True))
    if is_stream:
        with pytest.raises(RateLimited):
            await d.policy.on_request(asked(stream=True))
    else:
        assert await d.policy.on_request(asked()) is None


async def test_what_never_reached_an_upstream_is_given_back_whole():
    d = desk(bound(REQUESTS, "requests"), bound(TOKENS, "tokens"), bound(SLOTS, "slots"))
    x = asked()
    await d.policy.on_request(x)
    d.policy.on_end(x, End("refused"))

    assert await d.left(REQUESTS, TOKENS, SLOTS) == (2, 1000, 1)
    assert d.rows == []


async def test_a_client_that_leaves_pays_for_its_prompt_and_what_it_got():
    d = desk(bound(TOKENS, "tokens"), money())
    x = asked(stream=True)
    await d.policy.on_request(x)
    x.attempts, x.upstream_status, x.events = 1, 200, 11
    d.policy.on_end(x, End("client_gone"))

    assert await d.left(TOKENS, MONEY) == (890, 1_000_000 - 100 * 1000 - 10 * 2000)
    assert orjson.loads(d.rows[0].record)["estimated"] is True
    assert x.usage == Usage(100, 10, estimated=True)


async def test_a_spent_budget_is_not_told_to_come_back_and_somebody_is_told_once():
    d = desk(money())
    x = asked(prompt=900, output=0)
    await d.policy.on_request(x)
    d.policy.on_end(answered(x, 900, 50), End("complete"))
    for _ in range(2):
        with pytest.raises(BudgetSpent, match="until 2027-01-16 00:00 UTC") as caught:
            await d.policy.on_request(asked())

    assert caught.value.retry_after > 3600
    assert d.told == [("budget_spent", "tenant")]


async def test_a_nearly_spent_budget_is_told_once_a_window():
    d = desk(money(soft=0.5))
    for _ in range(3):
        x = asked(prompt=300, output=0)
        await d.policy.on_request(x)
        d.policy.on_end(answered(x, 300, 0), End("complete"))
    before = list(d.told)
    d.clock.advance(86400)
    x = asked(prompt=600, output=0)
    await d.policy.on_request(x)

    assert before == [("budget_soft", "tenant")]
    assert d.told == before * 2


class Interrupted:
    """A ledger that is left in the middle of the telling of an alert, or is away then."""

    def __init__(self, ledger, answer):
        self._ledger = ledger
        self._answer = answer
        self.calls = 0

    def __getattr__(self, name):
        return getattr(self._ledger, name)

    async def reserve(self, order, amounts, record=b""):
        self.calls += 1
        if self.calls == 2:
            return self._answer()
        return await self._ledger.reserve(order, amounts, record)


def left():
    raise asyncio.CancelledError


@pytest.mark.parametrize("answer", [left, lambda: Grant(None, was_uncounted=True)])
async def test_an_alert_that_was_interrupted_is_told_by_the_next(answer):
    d = desk(money(soft=0.5))
    d = desk(money(soft=0.5), ledger=Interrupted(d.ledger, answer))
    for _ in range(2):
        x = asked(prompt=600, output=0)
        with contextlib.suppress(asyncio.CancelledError):
            await d.policy.on_request(x)
        d.policy.on_end(answered(x, 1, 0), End("complete"))

    assert d.told == [("budget_soft", "tenant")]


async def test_a_spent_budget_may_lead_to_a_cheaper_model_and_goes_on_counting():
    d = desk(money("route_to", model="small", by="user"))
    for _ in range(2):
        x = asked(prompt=900, output=0, user="bob")
        await d.policy.on_request(x)
        d.policy.on_end(answered(x, 900, 0), End("complete"))
    other = asked(prompt=900, output=0, user="eve")
    await d.policy.on_request(other)

    assert x.plan.targets == (Target("cheap", "u", "small"),)
    assert x.notes["budget"] == "budget: route_to"
    assert other.plan.route == "r"
    charges = [charge for row in d.rows for charge in row.charges if row.record]
    assert len({charge.counter for charge in charges}) == 1
    assert sum(charge.amount for charge in charges) == 1_800_000


async def test_a_spent_budget_may_shorten_answers():
    d = desk(money("cap_output", most=20))
    await d.policy.on_request(asked(prompt=900, output=50))
    x = asked(prompt=100, output=400)
    await d.policy.on_request(x)

    assert x.max_output == 20


async def test_a_request_dearer_than_the_whole_budget_says_nothing_of_the_budget():
    """And is neither led elsewhere nor told of: any caller could send one."""
    d = desk(money("cap_output", most=20))
    with pytest.raises(RequestTooDear, match="this request alone"):
        await d.policy.on_request(asked(prompt=2000))

    assert d.told == []


async def test_a_request_that_does_not_fit_into_what_is_left_does_not_spend_the_alert():
    d = desk(money())
    await d.policy.on_request(asked(prompt=600, output=0))
    with pytest.raises(BudgetSpent):
        await d.policy.on_request(asked(prompt=600, output=0))

    assert d.told == []


async def test_a_guess_that_could_never_pass_is_made_smaller_and_learned_from():
    d = desk(bound(TOKENS, "tokens"))
    x = asked(prompt=100, output=5000)
    await d.policy.on_request(x)
    with pytest.raises(TokensLimited, match="max_tokens"):
        await d.policy.on_request(asked(prompt=100, output=5000, is_bounded=True))

    assert x.estimate.completion == 250


async def test_a_budget_leads_nobody_past_what_has_judged_the_request():
    d = desk(money("route_to", model="small"))
    await d.policy.on_request(asked(prompt=950, output=0))
    with pytest.raises(BudgetSpent):
        await d.policy.on_request(asked(prompt=100, output=0, asked_route="guarded"))


async def test_a_hit_that_is_charged_passes_a_budget_that_leaves_hits():
    d = desk(money("cache_only"))
    await d.policy.on_request(asked(prompt=950, output=0))
    with pytest.raises(BudgetSpent):
        await d.policy.on_request(asked(prompt=100, output=0))

    assert await d.policy.on_request(asked(prompt=100, output=0, held=object())) is None


async def test_what_a_budget_leads_to_has_limits_of_its_own():
    small = Allowance(bounds=(bound(REQUESTS, "requests", by="model", scope="model/small"),))
    d = desk(money("route_to", model="small"), models=((GlobSet(("small",)), small),))
    await d.policy.on_request(asked(prompt=950, output=0))
    for _ in range(2):
        await d.policy.on_request(asked(prompt=100, output=0))
    with pytest.raises(RateLimited, match="of this model"):
        await d.policy.on_request(asked(prompt=100, output=0))


@pytest.mark.parametrize(
    ("path", "request_price", "is_refused"),
    [("/v1/audio/speech", 0, True), ("/v1/audio/speech", 40_000, False), ("/tokenize", 0, False)],
)
async def test_what_reports_no_tokens_needs_a_price_a_request(path, request_price, is_refused):
    price = Price(input=10**9, output=0, request=request_price)
    d = desk(money(), price=price)
    x = asked(endpoint=EXACT[path], path=path, estimate=None)
    if is_refused:
        with pytest.raises(PriceUnknown, match="a price a `request`"):
            await d.policy.on_request(x)
        return
    await d.policy.on_request(x)
    x.attempts, x.upstream_status = 1, 200
    d.policy.on_end(x, End("complete"))

    assert await d.left(MONEY) == (1_000_000 - request_price,)


async def test_a_model_without_a_price_is_refused_under_a_budget():
    d = desk(money(), price=None)
    with pytest.raises(PriceUnknown, match="'m' has no price"):
        await d.policy.on_request(asked())


async def test_users_are_counted_by_a_hash_and_apart():
    d = desk(users=(bound(REQUESTS, "requests", by="user", scope=""),))
    for user in ("bob@example.com", "bob@example.com", "eve", "eve"):
        x = asked(user=user)
        await d.policy.on_request(x)
        d.policy.on_end(answered(x), End("complete"))
    with pytest.raises(RateLimited, match="of this user"):
        await d.policy.on_request(asked(user="eve"))

    assert b"bob@example" not in b"".join(row.record for row in d.rows)
    assert "bob@example" not in str(d.ledger._books)


async def test_a_tenant_without_limits_is_only_written_down():
    d = desk(table={})
    x = answered(asked())
    await d.policy.on_request(x)
    d.policy.on_end(x, End("complete"))

    assert (x.answer_headers, len(d.rows)) == ([], 1)


async def test_an_upstreams_own_limits_are_not_the_tenants():
    d = desk(bound(REQUESTS, "requests"))
    x = asked()
    await d.policy.on_request(x)
    head = Head(200, [(b"x-ratelimit-remaining-requests", b"9999"), (b"a", b"b")])

    assert d.policy.on_response(x, head) is None
    assert head.headers == [(b"a", b"b")]


class Says:
    """A ledger that is not asked twice."""

    keeps_rows = keeps_estimates = True

    def __init__(self, grant):
        self.grant, self.settled = grant, []

    async def reserve(self, order, amounts, record=b""):
        self.record = record
        return self.grant

    def settle(self, lease, settlement):
        self.settled.append((lease, settlement.actual))


async def test_a_closed_limit_refuses_while_the_store_is_down():
    d = desk(bound(REQUESTS, "requests"), ledger=Says(Grant(None, 0, 1.0, was_uncounted=True)))
    with pytest.raises(LimitsDown) as caught:
        await d.policy.on_request(asked())

    assert (caught.value.status, caught.value.retry_after) == (503, 1.0)


async def test_a_full_house_is_refused_on_a_replicas_share_too():
    """What is left of other limits nobody says then, as nobody looked."""
    bounds = (bound(REQUESTS, "requests"), bound(SLOTS, "slots"))
    d = desk(*bounds, ledger=Says(Grant(None, 1, 0.0, is_local=True)))
    x = asked()
    with pytest.raises(RateLimited):
        await d.policy.on_request(x)

    assert x.answer_headers == []


@pytest.mark.parametrize(
    ("grant", "note"),
    [
        (Grant("l", was_uncounted=True), "uncounted"),
        (Grant("l", None, 0.0, (1,), (1.0,), is_local=True), "local"),
    ],
)
async def test_what_was_admitted_without_the_store_is_noted(grant, note):
    """And no header claims to know what is left of all replicas' limit."""
    d = desk(bound(REQUESTS, "requests"), ledger=Says(grant))
    x = asked()
    await d.policy.on_request(x)
    d.policy.on_end(answered(x), End("complete"))

    assert (x.notes, x.answer_headers) == ({"limits": note}, [])
    assert d.ledger.settled == [("l", (1, 150, 50, 1, 200_000))]


async def test_a_shared_ledger_is_told_what_stands_if_this_process_dies():
    d = desk(bound(REQUESTS, "requests"), ledger=Says(Grant("l", None, 0.0, (1,), (1.0,))))
    await d.policy.on_request(asked())

    record = orjson.loads(d.ledger.record)
    assert (record["in"], record["out"], record["estimated"], record["end"]) == (100, 200, True, "")
