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
from proxy.rules.cachekey import IGNORED, canonical, has_twice, material
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


ESCAPES = [lambda c: c, lambda c: "".join(f"\\u{ord(u):04x}" for u in c)]


def written(value, rng, *, twice):
    """``value`` as some client might write it, and how often a name was written
    a second time, which is ``twice`` for each where it may be.
    """
    if isinstance(value, str):
        plain = orjson.dumps(value).decode()[1:-1]
        if "\\" in plain or any(ord(c) > 0xFFFF for c in value):
            return f'"{plain}"', 0
        return '"' + "".join(rng.choice(ESCAPES)(c) for c in value) + '"', 0
    if isinstance(value, list):
        made = [written(v, rng, twice=twice) for v in value]
        return "[" + " , ".join(m for m, _ in made) + "]", sum(n for _, n in made)
    if isinstance(value, dict):
        made, count = [], 0
        for name, one in value.items():
            text, more = written(one, rng, twice=twice)
            shown, _ = written(name, rng, twice=False)
            count += more
            made.append(f"{shown} : {text}")
            if twice and rng.random() < 0.3:
                again, _ = written(name, rng, twice=False)
                made.append(f"{again}:{text}")
                count += 1
        return "{" + ",".join(made) + "}", count
    return orjson.dumps(value).decode(), 0


@given(BODIES, st.integers(), st.booleans())
def test_a_name_that_stands_twice_is_seen_however_it_is_written(body, seed, twice):
    raw, count = written(body, random.Random(seed), twice=twice)

    read = orjson.loads(raw)
    part = {k: v for k, v in read.items() if k != "input"}

    for known in (b"", canonical(read), canonical(part)):
        assert has_twice(raw.encode(), read, known) == (count > 0)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'{"a":{"b":1,"b":2}}', True),
        (b'{"a":[[{"b":1,"\\u0062":1}]]}', True),
        (b'{"a":{"b":"x","b":"\\u0022\\u0022\\u0022\\u0022"}}', True),
        (b'{"a":1,"a":1}', True),
        (b'{"a":"\\u0022","b":"\\\\u0022"}', False),
        (b'{"a":"\\"b\\":1,\\"b\\":2"}', False),
        (b'{"a":{"b":1},"c":{"b":1}}', False),
        (b'{"a":"\\u0022","n":' + b"1" * 300 + b"}", False),
    ],
)
def test_what_stands_twice(raw, expected):
    assert has_twice(raw, orjson.loads(raw)) == expected


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
