"""A text in the forms in which it is read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.rules.views import plain, views


@pytest.mark.parametrize(
    ("text", "view"),
    [
        ("plain", "plain"),
        ("p\u200bl\u00adain", "plain"),
        ("ｐｌａｉｎ", "plain"),
        ("рlаin", "plain"),
        ("plàin", "plain"),
        ("plai\u0301n", "plain"),
        ("日本語", "日本語"),
        ("が", "が"),
    ],
)
def test_what_a_text_reads_as(text, view):
    assert plain(text) == view


def test_an_ascii_text_has_one_view_only():
    text = "An ordinary sentence, with 3 numbers (and brackets)."

    assert views(text) == (text,)


@given(st.text(max_size=300))
def test_no_text_is_too_odd(text):
    for view in views(text):
        view.encode("utf-8", "replace")


@given(st.text(max_size=60), st.text(max_size=60))
def test_made_plain_in_parts_is_made_plain(before, after):
    assert plain(before + after) == plain(before) + plain(after)


@given(st.binary(max_size=200), st.integers(0, 3))
def test_any_bytes_may_look_like_base64(data, shift):
    text = data.translate(
        bytes(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/" * 4)
    )

    assert list(views("x" * shift + text.decode()))
