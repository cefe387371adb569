"""Whatever a server answers, it is taken apart or refused."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.stores.replies import OddReply, kept_of, order, page_of, state_of

WORD = st.none() | st.integers() | st.binary(max_size=40) | st.just(b"5-1") | st.just(b"r:a")
REPLY = st.recursive(WORD, lambda inner: st.lists(inner, max_size=8), max_leaves=30)


@given(REPLY, st.integers(0, 3))
def test_no_reply_is_more_than_odd(reply, number):
    for parse in (lambda r: kept_of(r, number), state_of, page_of):
        try:
            parse(reply)
        except OddReply:
            continue


@given(st.lists(WORD, max_size=12))
def test_what_is_taken_is_of_its_kind(words):
    state = state_of([b"", 0, *words])
    assert all(0 <= epoch < 10**15 for epoch in state.epochs.values())
    page = page_of([0, 0, b"", b"", *words])
    assert all(isinstance(word, bytes) for row in page.rows for word in row)


@pytest.mark.parametrize("value", [b"-5", b"abc", b"", b"1.5", b" 1", b"9" * 16, b"9" * 5000, 5])
def test_an_epoch_that_is_no_number_is_counted(value):
    assert state_of([b"g", 2, b"r:a", b"7", b"r:b", value]) == ({"a": 7}, b"g", 3)


def test_a_route_of_other_bytes_is_no_error():
    assert state_of([b"", 0, b"r:\xff", b"1", b"r:c", b"2"]).epochs["c"] == 2


@pytest.mark.parametrize("salt", [None, 7, [], b"", b"s" * 31, b"s" * 33])
def test_a_salt_has_its_size(salt):
    assert kept_of([os.urandom(32), 1, None], 1)[1:] == (True, [None])
    with pytest.raises(OddReply):
        kept_of([salt, 1, None], 1)


@pytest.mark.parametrize("ident", [b"", b"abc", b"-1", b"5", b"9" * 30 + b"-1", b"1-1-1"])
def test_entries_stand_in_their_order(ident):
    assert order(b"9-2") < order(b"10-1") < order(b"10-2")
    assert order(ident) == (0, 0)
