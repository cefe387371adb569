"""What of a body the other stages are told."""

import pytest

from proxy.core.errors import InvalidBody
from proxy.policies.parse import MAX_KNOWN, MAX_REMEMBERED, ParsePolicy
from tests.kit import exchange


@pytest.mark.parametrize(
    ("body", "user"),
    [
        (b'{"model": "m"}', "alice"),
        (b'{"model": "m", "user": "bob"}', "alice"),
        (b'{"model": "m", "user": ""}', "alice"),
    ],
)
async def test_the_subject_of_a_token_is_the_user_whatever_the_body_says(body, user):
    x = exchange(body=body, subject="alice")

    await ParsePolicy(1000).on_request(x)

    assert x.user == user
    assert x.raw == body


ASKED = b'{"model": "m", "stream": true, "user": "bob", "messages": []}'


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_a_body_says_the_same_however_often_it_comes(times):
    policy = ParsePolicy(1000, remembers=True)
    for _ in range(times):
        x = exchange(body=ASKED, tenant="acme")
        await policy.on_request(x)

    assert (x.model, x.stream, x.user) == ("m", True, "bob")
    assert x.body == {"model": "m", "stream": True, "user": "bob", "messages": []}
    assert x.body is x.body
    assert x.twin().body == x.body


async def test_a_body_that_came_before_is_not_read_until_somebody_looks():
    policy = ParsePolicy(1000, remembers=True)
    first, again, other = (exchange(body=ASKED, tenant=t) for t in ("acme", "acme", "other"))
    for x in (first, again, other):
        await policy.on_request(x)

    assert first.reads is other.reads is None
    assert again.reads is not None
    assert again.twin().body == first.body


async def test_a_body_that_is_refused_is_refused_again():
    policy = ParsePolicy(1000, remembers=True)
    for _ in range(2):
        with pytest.raises(InvalidBody):
            await policy.on_request(exchange(body=b'{"model": "m", "model": "n"}'))


async def test_large_bodies_and_too_many_are_not_remembered():
    policy = ParsePolicy(1 << 20, remembers=True)
    large = b'{"model": "m", "x": "%s"}' % (b"y" * MAX_REMEMBERED)
    small = [b'{"model": "m%d"}' % i for i in range(MAX_KNOWN + 1)]
    for body in (large, large, *small, small[0]):
        x = exchange(body=body)
        await policy.on_request(x)

        assert x.reads is None


async def test_a_body_that_another_stage_replaces_is_the_new_one():
    policy = ParsePolicy(1000, remembers=True)
    for _ in range(2):
        x = exchange(body=ASKED)
        await policy.on_request(x)
    before = x.digest()
    x.raw, x.body = b"{}", {}

    assert x.body == {}
    assert x.digest() != before
    assert x.digest() == exchange(raw=b"{}").digest()
