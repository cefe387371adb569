"""A store's URL that cannot be read says why."""

import pytest

from proxy.stores.address import parse_address


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("redis:/127.0.0.1", "a store's URL begins with redis://, with two slashes"),
        ("redis:127.0.0.1:6379", "a store's URL begins with redis://, with two slashes"),
        ("rediss+cluster:/h", "a store's URL begins with rediss+cluster://, with two slashes"),
        ("redis://h:port", "a store's URL has a port or a database that is no number"),
        ("redis://h/first", "a store's URL has a port or a database that is no number"),
        ("http://h", "a store's URL does not begin with http://"),
    ],
)
def test_what_is_wrong_with_it_is_said(url, why):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared below
        parse_address(url)

    assert str(caught.value) == why
