"""The lexical guard alone, without vectors, over labelled pairs of questions."""

import pytest

from tests.semantic.measure import guard, measure, pairs


@pytest.fixture(scope="module")
def tallies():
    return measure(pairs())


def test_there_are_enough_pairs_of_either_label():
    labelled = pairs()

    assert len(labelled) >= 220
    assert 0.35 <= sum(pair["same"] for pair in labelled) / len(labelled) <= 0.55
    assert len({(pair["a"], pair["b"]) for pair in labelled}) == len(labelled)


def test_few_different_questions_get_through(tallies):
    tally = tallies[False, "all"]

    assert tally.passed <= 0.05 * tally.count, tally.wrong


def test_most_rephrasings_get_through(tallies):
    tally = tallies[True, "all"]

    assert tally.passed >= 0.75 * tally.count, tally.wrong


def test_which_is_asked_first_does_not_matter():
    judge = guard()

    for pair in pairs():
        there = judge.why_different(pair["a"], pair["b"])
        back = judge.why_different(pair["b"], pair["a"])

        assert bool(there) == bool(back), pair
