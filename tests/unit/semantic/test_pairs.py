import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.semantic.pairs import BadPairs, Pair, read_pairs

LINES = """\
{"a": "one?", "b": "two?", "same": true}

{"a": "one?", "b": "three?", "same": 0, "source": "people"}
"""
TABLE = 'source,b,a,same\nx,two?,one?,yes\ny,"three,\nor four?",one?,FALSE\n'


def problems(text, *, is_csv=False):
    with pytest.raises(BadPairs) as refused:
        read_pairs(text, is_csv=is_csv)
    return refused.value.problems


def test_reads_json_lines():
    assert read_pairs(LINES, is_csv=False) == [
        Pair("one?", "two?", same=True), Pair("one?", "three?", same=False),
    ]  # fmt: skip


def test_reads_csv_by_its_header():
    assert read_pairs(TABLE, is_csv=True) == [
        Pair("one?", "two?", same=True), Pair("one?", "three,\nor four?", same=False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "not JSON"),
        ("[]", "not an object"),
        ('{"b": "x", "same": true}', "a must be a text"),
        ('{"a": "x", "b": " ", "same": true}', "b must be a text"),
        ('{"a": "x", "b": 1, "same": true}', "b must be a text"),
        ('{"a": "x", "b": "y"}', "same must be true or false"),
        ('{"a": "x", "b": "y", "same": 0.5}', "same must be true or false"),
    ],
)
def test_every_bad_line_is_told_with_its_number(line, said):
    found = problems(f"{LINES}{line}\n{line}")

    assert [number for number, _ in found] == [4, 5]
    assert all(message.startswith(said) for _, message in found)


def test_bad_rows_of_csv_are_told_by_the_line_they_end_on():
    assert problems('a,b,same\n"one\n?",two,maybe\none\n', is_csv=True) == [
        (3, "same must be true or false"), (4, "b must be a text"),
    ]  # fmt: skip
    assert problems("a,c\n1,2\n", is_csv=True) == [(1, "the header has no column b, same")]
    assert problems('a,b,same\n"one"x,2,3\n', is_csv=True)[0][0] == 2


@pytest.mark.parametrize("is_csv", [True, False])
def test_a_file_without_pairs_is_none(is_csv):
    assert problems("a,b,same\n" if is_csv else "\n", is_csv=is_csv) == [
        (1, "no pairs in this file")
    ]


@given(st.text(), st.booleans())
def test_whatever_stands_there_is_read_or_told(text, is_csv):
    with contextlib.suppress(BadPairs):
        assert read_pairs(text, is_csv=is_csv)
