"""Estimates of requests, and bounds on a single one."""

import pytest

from proxy.core.errors import BadRequest, PriceUnknown, PromptTooLong, RequestTooDear
from proxy.core.exchange import End, Usage
from proxy.core.plan import Plan, Target
from proxy.policies.measure import MeasurePolicy
from proxy.rules.allowance import Allowance, AllowanceTable, Tenancy
from proxy.rules.estimate import FIRST_OUTPUT, Estimator
from proxy.rules.prices import Price
from proxy.wire.endpoints import EXACT
from tests.kit import exchange

PRICE = Price(input=10**9, output=2 * 10**9)
TEXT = "The quick brown fox jumps over the lazy dog. " * 10  # about a hundred tokens


def policy(estimator=None, *, exact=None, price=PRICE, **most):
    asked = []

    async def count(x):
        asked.append(x)
        return exact

    table = AllowanceTable({"acme": Tenancy(own=Allowance(**most))})
    made = MeasurePolicy(table, estimator or Estimator(), lambda _: price, count)
    made.asked = asked
    return made


def asked(path="/v1/chat/completions", **body):
    body = {"model": "m", "messages": [{"role": "user", "content": TEXT}]} | body
    plan = Plan("r", (Target("t", "u"),))
    x = exchange(endpoint=EXACT[path], tenant="acme", model="m", plan=plan)
    x.body = body
    return x


async def measured(made, x):
    await made.on_request(x)
    return x


async def test_a_prompt_is_estimated_and_its_answer_guessed():
    x = await measured(policy(), asked())

    assert 90 <= x.estimate.prompt <= 115
    assert (x.estimate.completion, x.estimate.estimated, x.max_output) == (FIRST_OUTPUT, True, None)


async def test_an_answer_is_bounded_where_the_client_asks_for_more_or_says_nothing():
    assert (await measured(policy(max_output=50), asked())).max_output == 50
    assert (await measured(policy(max_output=50), asked(max_tokens=51))).max_output == 50
    assert (await measured(policy(max_output=50), asked(max_tokens=50))).max_output is None
    x = await measured(policy(max_output=50), asked(max_tokens=20, n=3))
    assert (x.max_output, x.estimate.completion) == (None, 60)


async def test_embeddings_have_no_answer():
    x = await measured(policy(max_output=50), asked("/v1/embeddings", input="Hi"))

    assert (x.max_output, x.estimate.completion) == (None, 0)


async def test_a_prompt_that_is_too_long_is_refused_with_what_is_allowed():
    with pytest.raises(PromptTooLong, match=r"about \d+ tokens, and 60 are allowed") as caught:
        await measured(policy(max_input=60), asked())

    assert (caught.value.status, caught.value.param) == (400, "messages")


async def test_near_the_bound_a_prompt_is_counted_exactly_where_that_can_be_had():
    made = policy(max_input=95, exact=94)
    x = await measured(made, asked())
    far = policy(max_input=1000, exact=94)
    await measured(far, asked())
    with pytest.raises(PromptTooLong, match="has 96 tokens"):
        await measured(policy(max_input=95, exact=96), asked())

    assert (x.estimate.prompt, len(made.asked), far.asked) == (94, 1, [])


async def test_money_for_one_request_bounds_its_answer():
    """A thousand nano-dollars a token of prompt, two thousand of answer."""
    x = await measured(policy(max_cost=200_000), asked())
    two = await measured(policy(max_cost=200_000), asked(n=2))

    assert x.max_output == (200_000 - x.estimate.prompt * 1000) // 2000
    assert x.estimate.completion == x.max_output
    assert two.max_output == x.max_output // 2


async def test_a_bound_that_the_client_keeps_is_left_alone():
    assert (await measured(policy(max_cost=200_000), asked(max_tokens=10))).max_output is None


async def test_a_prompt_that_costs_it_all_is_refused():
    with pytest.raises(RequestTooDear, match=r"\$0.0001"):
        await measured(
            policy(max_cost=100_000), asked(messages=[{"role": "user", "content": TEXT * 2}])
        )


async def test_free_models_cost_nothing_and_unknown_ones_are_refused():
    free = await measured(policy(max_cost=1, price=Price(input=0, output=0)), asked())
    with pytest.raises(PriceUnknown):
        await measured(policy(max_cost=1, price=None), asked())

    assert free.max_output is None


async def test_a_bound_that_another_reader_might_take_for_more_is_refused():
    with pytest.raises(BadRequest, match="max_tokens"):
        await measured(policy(max_output=50), asked(max_tokens="999"))


@pytest.mark.parametrize(
    ("end", "usage", "learns"),
    [
        ("complete", Usage(200, 900), True),
        ("client_gone", Usage(200, 900), False),
        ("complete", Usage(200, 900, estimated=True), False),
        ("complete", None, False),
    ],
)
async def test_only_whole_answers_that_were_counted_teach(end, usage, learns):
    estimator = Estimator()
    made = policy(estimator)
    x = await measured(made, asked())
    x.usage = usage
    made.on_end(x, End(end))
    after = await measured(made, asked())

    assert (after.estimate != x.estimate) == learns


async def test_who_has_no_limits_is_not_measured():
    x = asked()
    x.tenant = "other"
    await measured(policy(), x)

    assert x.estimate is None
