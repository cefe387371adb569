"""What clients may say, and which requests are repeatable at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.rules.cacheable import When, bypass
from proxy.rules.cachekey import canonical
from proxy.rules.freshness import NO_WISH, Wish, state_of, wish_of


@pytest.mark.parametrize(
    ("header", "wish"),
    [
        ("", NO_WISH),
        ("no-cache", Wish(reads=False)),
        ("No-Store", Wish(reads=False, stores=False)),
        ("max-age=0", Wish(reads=False, max_age=0)),
        ("max-age=60, only-if-cached", Wish(max_age=60, only_cached=True)),
        ('max-age="5"', Wish(max_age=5)),
        ("max-age=-1", NO_WISH),
        ("max-age=9999999999999999", NO_WISH),
        ("max-age=٣", NO_WISH),
        ("x, =, ,", NO_WISH),
    ],
)
def test_wishes(header, wish):
    assert wish_of(header) == wish


@given(st.text())
def test_no_header_raises(header):
    assert wish_of(header)


@pytest.mark.parametrize(
    ("age", "max_age", "state"),
    [(0, None, "fresh"), (9.9, None, "fresh"), (10, None, "stale"), (14.9, None, "stale"),
     (15, None, "expired"), (5, 4, "expired"), (5, 5, "fresh"), (12, 60, "stale"), (-1, None, "fresh")],
)  # fmt: skip
def test_ages(age, max_age, state):
    assert state_of(age, 10, 5, Wish(max_age=max_age)) == state


@pytest.mark.parametrize(
    ("body", "default", "strict", "wide"),
    [
        ({}, False, False, True),
        ({"temperature": 0}, True, False, True),
        ({"temperature": 0.0, "seed": 1}, True, True, True),
        ({"temperature": 1, "seed": 1}, True, False, True),
        ({"seed": None}, False, False, True),
        ({"temperature": "0"}, False, False, False),
        ({"temperature": False}, False, False, False),
        ({"temperature": 3}, False, False, False),
    ],
)
def test_when(body, default, strict, wide):
    assert When().allows(body) is default
    assert When(needs_seed=True).allows(body) is strict
    assert When("<=", 2).allows(body) is wide


URL = {"type": "image_url", "image_url": {"url": "HTTPS://a/b.png"}}
DATA = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}


@pytest.mark.parametrize(
    ("endpoint", "body", "why"),
    [
        ("chat", {}, ""),
        ("chat", {"store": False}, ""),
        ("chat", {"store": True}, "store"),
        ("responses", {}, "store"),
        ("responses", {"store": False}, ""),
        ("responses", {"store": False, "previous_response_id": "r"}, "previous_response_id"),
        ("responses", {"store": False, "prompt": {"id": "p"}}, "stored_prompt"),
        ("responses", {"store": False, "tools": [{"type": "mcp"}]}, "hosted_tools"),
        ("responses", {"store": False, "tools": [{"type": "function", "name": "f"}]}, ""),
        ("chat", {"tools": "all"}, "hosted_tools"),
        ("chat", {"tools": []}, ""),
        ("chat", {"messages": [{"content": [URL]}]}, "remote_url"),
        ("chat", {"messages": [{"content": [DATA]}]}, ""),
        ("chat", {"messages": [{"content": 'see "url":"https://a"'}]}, ""),
        ("responses", {"store": False, "input": [{"file_url": "http://a"}]}, "remote_url"),
        ("chat", {"n": 18446744073709551616.0}, "huge_number"),
        ("chat", {"n": -1e300}, "huge_number"),
        ("chat", {"n": 18446744073709551615}, ""),
        ("chat", {"n": 1e-30, "messages": "1e99"}, ""),
    ],
)  # fmt: skip
def test_what_is_left_alone(endpoint, body, why):
    assert bypass(endpoint, body, canonical(body)) == why
