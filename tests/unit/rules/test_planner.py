"""Routing as a table: what is asked, where it leads, and why not elsewhere."""

import pytest

from proxy.core.errors import ModelNotAllowed, UnknownModel
from proxy.core.plan import Target
from proxy.rules.globs import GlobSet
from proxy.rules.planner import (
    Facts,
    Match,
    RegionNotAllowed,
    RouteRule,
    RouteTable,
    mismatch,
    names_for,
    plan,
)  # fmt: skip

EU, US = Target("eu/big", "eu", "big"), Target("us", "us")
CANARY = Target("canary", "eu", "small")


def globs(*patterns):
    return GlobSet(patterns)


TABLE = RouteTable.of(
    (
        RouteRule(name="long", match=Match(model=globs("chat"), input_tokens=(">", 100)),
                  targets=((US, 1),)),
        RouteRule(name="chat", match=Match(model=globs("chat", "gpt-4o-mini")),
                  targets=((EU, 90), (CANARY, 10)), fallback=(US,)),
        RouteRule(name="embed", match=Match(path=globs("/v1/embeddings")), targets=((US, 1),)),
        RouteRule(name="rest", match=Match(model=globs("gpt-*")), targets=((US, 1),)),
    ),
    {"eu": "eu", "us": "us"},
)  # fmt: skip


def facts(model="chat", **more):
    return Facts(**{"model": model, "path": "/v1/chat/completions", "tenant": "acme"} | more)


@pytest.mark.parametrize(
    ("asked", "route"),
    [
        (facts(), "chat"),
        (facts(input_tokens=101), "long"),
        (facts(input_tokens=100), "chat"),
        (facts("gpt-4o-mini"), "chat"),
        (facts("gpt-5"), "rest"),
        (facts("text-embedding-3-small", path="/v1/embeddings"), "embed"),
    ],
)
def test_the_first_route_that_matches_is_taken(asked, route):
    assert plan(TABLE, asked).route == route


def test_a_split_is_sticky_and_followed_by_its_fallback():
    plans = [plan(TABLE, facts(user=f"u{i % 50}")) for i in range(200)]

    assert plans[:50] * 4 == plans
    assert {p.targets[0].name for p in plans} == {"eu/big", "canary"}
    assert all(p.targets[1:] == (US,) for p in plans)


def test_without_a_user_the_request_itself_is_the_seed():
    first = {plan(TABLE, facts(split_seed=f"r{i}")).targets[0].name for i in range(100)}

    assert first == {"eu/big", "canary"}


def test_a_tenant_never_leaves_its_regions():
    bound = frozenset({"eu"})

    assert US not in plan(TABLE, facts(regions=bound)).targets
    with pytest.raises(RegionNotAllowed, match="'rest' has no target in eu"):
        plan(TABLE, facts("gpt-5", regions=bound))


def test_refusals_help():
    with pytest.raises(UnknownModel, match="did you mean 'chat'"):
        plan(TABLE, facts("chatt"))
    with pytest.raises(ModelNotAllowed, match="'acme' may not use the model 'gpt-5'"):
        plan(TABLE, facts("gpt-5", models=globs("chat")))


def test_explaining_names_all_that_was_dropped_and_why():
    told = plan(TABLE, facts("gpt-4o-mini", user="u1", regions=frozenset({"eu"})), explain=True)

    assert [(d.what, d.why) for d in told.dropped][:2] == [
        ("route long", "the model is not chat"),
        ("target us", "it is in us"),
    ]


@pytest.mark.parametrize(
    ("match", "asked", "why"),
    [
        (Match(tenant=globs("beta")), facts(), "the tenant is not beta"),
        (Match(tags=(("team", globs("search")),)), facts(), "the tag team is not search"),
        (
            Match(headers=(("x-a", globs("1*")),)),
            facts(headers={"x-a": "21"}),
            "the header x-a is not 1*",
        ),
        (Match(stream=True), facts(), "stream is false"),
        (Match(tools=False), facts(has_tools=True), "tools is true"),
        (Match(images=True), facts(), "images is false"),
        (Match(input_tokens=("<=", 5)), facts(input_tokens=6), "about 6 input tokens are not <=5"),
        (Match(), facts(), None),
    ],
)
def test_every_kind_of_match_says_why_not(match, asked, why):
    assert mismatch(match, asked) == why


def test_models_are_those_spelled_out_and_allowed():
    assert names_for(TABLE, None) == ["chat", "gpt-4o-mini"]
    assert names_for(TABLE, globs("chat", "gpt-5", "text-*")) == ["chat", "gpt-5"]
    bounded = RouteTable.of(TABLE.rules[3:], {})
    assert names_for(bounded, globs("chat", "gpt-5")) == ["gpt-5"]


def test_only_tables_of_fixed_plans_are_static():
    fixed = RouteRule(name="a", match=Match(model=globs("*")), targets=((US, 1),))
    by_stream = RouteRule(name="b", match=Match(stream=True), targets=((US, 1),))

    assert RouteTable.of((fixed,), {}).is_static
    assert not RouteTable.of((fixed, by_stream), {}).is_static
    assert not TABLE.is_static
