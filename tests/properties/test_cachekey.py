"""The same meaning has the same key, and another meaning another."""

import random
from typing import get_type_hints

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import CompletionCreateParams, EmbeddingCreateParams
from openai.types.chat import completion_create_params
from openai.types.responses import response_create_params

from proxy.core.plan import Plan, Target
from proxy.rules.cacheable import CacheRule, facts_of
from proxy.rules.cachekey import IGNORED, canonical, material
from tests.kit import exchange

NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
LEAVES = st.none() | st.booleans() | NUMBERS | st.text(max_size=20)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
BODIES = st.dictionaries(st.text(max_size=12), VALUES, max_size=6)


def otherwise(value, rng):
    """The same value as another client would write it."""
    if isinstance(value, dict):
        items = list(value.items())
        rng.shuffle(items)
        return {k: otherwise(v, rng) for k, v in items}
    if isinstance(value, list):
        return [otherwise(v, rng) for v in value]
    if type(value) is int and abs(value) < 2**53 and rng.random() < 0.5:
        return float(value)
    return value


def same(one, two):
    """Whether two values mean the same, and not only compare so."""
    if isinstance(one, bool) or isinstance(two, bool) or one is None or two is None:
        return one is two
    if isinstance(one, int | float) and isinstance(two, int | float):
        return one == two
    if type(one) is not type(two):
        return False
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[k], two[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(two) and all(map(same, one, two))
    return one == two


@given(BODIES, st.integers())
def test_the_same_meaning_has_the_same_key(body, seed):
    written = orjson.dumps(otherwise(body, random.Random(seed)))

    assert canonical(orjson.loads(written)) == canonical(orjson.loads(orjson.dumps(body)))


@given(BODIES, BODIES)
def test_another_meaning_has_another_key(one, two):
    one, two = (
        {k: v for k, v in b.items() if k not in IGNORED and not k.startswith("prompt_cache_")}
        for b in (one, two)
    )

    assert (canonical(one) == canonical(two)) == same(one, two)


@given(BODIES, st.sampled_from([*sorted(IGNORED), "prompt_cache_key", "prompt_cache_x"]), VALUES)
def test_what_does_not_change_the_answer_does_not_change_the_key(body, name, value):
    rest = {k: v for k, v in body.items() if k != name}

    assert canonical({**rest, name: value}) == canonical(rest)


SCHEMAS = {
    "chat": completion_create_params.CompletionCreateParamsBase,
    "completions": CompletionCreateParams.__args__[0],
    "responses": response_create_params.ResponseCreateParamsBase,
    "embeddings": EmbeddingCreateParams,
}
FIELDS = [
    (kind, name)
    for kind, schema in SCHEMAS.items()
    for name in get_type_hints(schema)
    if name not in IGNORED and not name.startswith("prompt_cache_")
]


def test_every_field_of_the_schemas_is_tried():
    assert len(FIELDS) > 60


@pytest.mark.parametrize(("kind", "name"), FIELDS)
def test_a_field_of_the_schema_that_is_changed_changes_the_key(kind, name):
    base = {"model": "m", "messages": [], "input": "a"}
    seen = {canonical({k: v for k, v in base.items() if k != name})}
    for value in (None, 0, 1, 0.5, True, "", "a", [], ["a"], {}, {"a": 1}, {"a": 2}):
        seen.add(canonical({**base, name: value}))

    assert len(seen) == 13


class Epochs:
    def __init__(self, number=0):
        self.number = number

    def of(self, route):
        return self.number


def facts(rule=None, epoch=0, *, target=None, **fields):
    plan = Plan("r", (target or Target("t", "up", "model"),))
    x = exchange(plan=plan, **fields)
    rule = rule or CacheRule(name="c", vault=None, terms=None, scope="user")
    return material(facts_of(x, rule, Epochs(epoch)), b"{}")


def test_everything_around_the_body_counts():
    more = {"vault": None, "terms": None, "scope": "user"}
    all_of_them = [
        facts(),
        facts(CacheRule(name="d", **more)),
        facts(CacheRule(name="c", version="2", **more)),
        facts(CacheRule(name="c", policy="x", **more)),
        facts(epoch=1),
        facts(user="u"),
        facts(query="a=b"),
        facts(target=Target("t", "other", "model")),
        facts(target=Target("t", "up", "other")),
        facts(headers={"x-sidestream-context-version": "7"}),
        facts(raw_headers=((b"OpenAI-Beta", b"x"),)),
        facts(raw_headers=((b"openai-beta", b"y"),)),
        facts(raw_headers=((b"x-whatever", b"x"),)),
    ]

    assert len(set(all_of_them)) == len(all_of_them)


def test_how_a_request_came_is_no_part_of_its_key():
    came = ((b"User-Agent", b"x"), (b"X-Stainless-Retry-Count", b"1"), (b"traceparent", b"0"))
    one, two = (b"x-a", b"1"), (b"x-b", b"2")

    assert facts(raw_headers=came) == facts()
    assert facts(raw_headers=(one, *came, two)) == facts(raw_headers=(two, one))


def test_a_users_name_is_no_part_of_a_key_that_tenants_share():
    rule = CacheRule(name="c", vault=None, terms=None)

    assert facts(rule, user="a") == facts(rule, user="b")
