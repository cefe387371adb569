"""What of a body the other stages are told."""

import pytest

from proxy.policies.parse import ParsePolicy
from tests.kit import exchange


@pytest.mark.parametrize(
    ("body", "user"),
    [
        (b'{"model": "m"}', "alice"),
        (b'{"model": "m", "user": "bob"}', "bob"),
        (b'{"model": "m", "user": ""}', "alice"),
    ],
)
async def test_the_subject_of_a_token_is_the_user_where_the_body_names_none(body, user):
    x = exchange(body=body, subject="alice")

    await ParsePolicy(1000).on_request(x)

    assert x.user == user
    assert x.raw == body
