"""Splits, globs, prices and retries hold what they promise for any input."""

from decimal import ROUND_CEILING, Decimal
from fnmatch import fnmatchcase

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.exchange import Usage
from proxy.core.plan import Target
from proxy.rules.globs import GlobSet
from proxy.rules.prices import Price, PriceTable, cost_nanos
from proxy.rules.retries import RetryBudget, backoff, parse_retry_after
from proxy.rules.split import choose

names = st.text("abc-./", max_size=8)
patterns = st.text("abc-./*?", max_size=8)
weights = st.integers(1, 100)
tokens = st.integers(0, 10_000_000)
prices = st.integers(0, 200 * 10**9)


@given(st.lists(patterns, max_size=4), names)
def test_globs_mean_what_fnmatch_means(globs, name):
    assert GlobSet(globs).matches(name) == any(fnmatchcase(name, g) for g in globs)


@given(weights, weights, weights, weights, st.lists(st.text(max_size=6), max_size=60))
def test_raising_a_weight_moves_users_only_into_that_target(a, b, c, more, users):
    one, two, three = (Target(n, "u") for n in ("one", "two", "three"))
    for user in users:
        before = choose([(one, a), (two, b), (three, c)], user)
        after = choose([(one, a), (two, b), (three, c + more)], user)

        assert after in (before, three)


def test_shares_are_as_the_weights_say():
    targets = [(Target("a", "u"), 90.0), (Target("b", "u"), 10.0), (Target("c", "u"), 0.0)]
    got = [choose(targets, f"user-{i}").name for i in range(5000)]

    assert 420 <= got.count("b") <= 580
    assert got.count("c") == 0


@given(tokens, tokens, tokens, tokens, tokens, prices, prices, st.none() | prices)
def test_cost_is_exact_rounded_up_and_never_negative(p, c, cached, a_in, a_out, inp, out, hit):
    price = Price(input=inp, output=out, cached=hit)
    usage = Usage(p, c, cached, 0, a_in, a_out)
    hits = min(cached, p)
    exact = (
        Decimal((p - hits) * inp + hits * (inp if hit is None else hit) + c * out) / 10**6
    ).to_integral_value(ROUND_CEILING)

    assert cost_nanos(price, usage) == exact >= 0


def test_a_price_is_found_by_dated_prefixed_and_globbed_names():
    shipped = {"gpt-4o": Price(input=1, output=1)}
    table = PriceTable(shipped, {"Qwen/*": Price(input=0, output=0)})

    assert table.find("gpt-4o-2024-08-06") == shipped["gpt-4o"]
    assert table.find("openai/gpt-4o") == shipped["gpt-4o"]
    assert table.find("Qwen/Qwen3").input == 0
    assert table.find("gpt-4") is None
    assert table.find("gpt-4") is None


@given(st.binary(max_size=30), st.floats(0, 2e9))
def test_no_retry_after_can_raise_or_be_negative(value, wall):
    for name in (b"Retry-After", b"retry-after-ms"):
        wait = parse_retry_after([(name, value)], wall)
        assert wait is None or 0 <= wait <= 86400


def test_retry_after_is_read_in_all_its_forms():
    assert parse_retry_after([(b"Retry-After", b"7")], 0) == 7
    assert parse_retry_after([(b"retry-after-ms", b"250"), (b"Retry-After", b"7")], 0) == 0.25
    assert parse_retry_after([(b"Retry-After", b"Thu, 01 Jan 1970 00:01:00 GMT")], 30) == 30
    assert parse_retry_after([(b"Retry-After", b"-1")], 0) is None


@given(st.integers(0, 40), st.none() | st.floats(0, 100), st.floats(0, 1))
def test_backoff_is_bounded_and_never_before_the_upstream_wants_it(tries, asked, chance):
    wait = backoff(tries, asked, chance)

    assert (asked or 0) <= wait <= max(8.0, asked or 0)


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(0, 2)), max_size=50))
def test_retries_never_exceed_their_share_and_allowance(history):
    budget, now, asked, granted = RetryBudget(), 100.0, 0, 0
    for requests, pause in history:
        budget.earned += requests * 0.2
        asked += requests
        now += pause
        while budget.take(now):
            granted += 1

    assert granted <= 30 + asked * 0.2 + (now - 100.0) * 3 + 1
