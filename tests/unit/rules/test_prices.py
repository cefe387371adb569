"""What a request costs, by tier of service."""

import pytest

from proxy.core.exchange import Usage
from proxy.rules.prices import Price, cost_nanos
from proxy.wire.usage import usage_in, usage_of_body

PRICE = Price(input=10**9, output=2 * 10**9)


@pytest.mark.parametrize(
    ("tier", "cost"),
    [
        ("", 200_000),
        ("flex", 100_000),
        ("batch", 100_000),
        ("priority", 400_000),
        ("scale", 200_000),
    ],
)
def test_a_tier_costs_a_part_or_a_multiple(tier, cost):
    assert cost_nanos(PRICE, Usage(100, 50, tier=tier)) == cost


def test_a_tier_has_the_price_that_was_set():
    price = Price(input=10**9, output=0, tiers={"priority": 1700})

    assert cost_nanos(price, Usage(100, 50, tier="priority")) == 170_000


@pytest.mark.parametrize(
    ("said", "tier"),
    [("flex", "flex"), ("default", ""), ("auto", ""), (None, ""), (5, ""), ("x" * 99, "x" * 20)],
)
def test_the_tier_is_read_beside_the_usage(said, tier):
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    event = {"usage": usage, "service_tier": said}

    assert usage_in(event).tier == tier
    assert usage_in({"type": "response.completed", "response": event}).tier == tier


def test_the_tier_of_a_whole_answer():
    body = b'{"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3},"service_tier":"flex"}'

    assert usage_of_body(body)[0].tier == "flex"
