"""How long a client will wait, as its SDK says it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.headers import patience_of


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"x-stainless-read-timeout": "600"}, 600.0),
        ({"x-stainless-read-timeout": "0.5"}, 0.5),
        ({"x-stainless-timeout": "60"}, 60.0),
        ({"x-stainless-read-timeout": "5", "x-stainless-timeout": "60"}, 5.0),
        ({"x-stainless-read-timeout": "None"}, None),
        ({"x-stainless-read-timeout": "0"}, None),
        ({"x-stainless-read-timeout": "-1"}, None),
        ({"x-stainless-read-timeout": "nan"}, None),
        ({"x-stainless-read-timeout": "inf"}, None),
    ],
)
def test_the_sdks_words_are_understood(headers, seconds):
    assert patience_of(headers) == seconds


@given(st.text(max_size=20))
def test_nothing_a_client_writes_raises(text):
    told = patience_of({"x-stainless-read-timeout": text})

    assert told is None or told > 0
