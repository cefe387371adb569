"""The lexical guard alone, without vectors, over labelled pairs of questions.

``pairs`` is what the guard was made with.  The other two were written by people
who had never seen it, and nothing was tuned on them: ``traffic`` as users type,
``far`` with paraphrases in quite other words.
"""

import pytest

from tests.semantic.measure import PAIRS, guard, measure, pairs


@pytest.fixture(scope="module")
def tallies():
    return measure(pairs())


def test_there_are_enough_pairs_of_either_label():
    labelled = pairs()

    assert len(labelled) >= 220
    assert 0.33 <= sum(pair["same"] for pair in labelled) / len(labelled) <= 0.55
    assert len({(pair["a"], pair["b"]) for pair in labelled}) == len(labelled)


def test_few_different_questions_get_through(tallies):
    tally = tallies[False, "all"]

    assert tally.passed <= 0.01 * tally.count, tally.wrong


def test_most_rephrasings_get_through(tallies):
    tally = tallies[True, "all"]

    assert tally.passed >= 0.7 * tally.count, tally.wrong


@pytest.mark.parametrize(
    ("name", "same", "different"), [("traffic", 0.33, 0.01), ("far", 0.05, 0.01)]
)
def test_pairs_of_strangers_are_told_apart(name, same, different):
    found = measure(pairs(PAIRS.with_name(f"{name}.jsonl")))

    assert found[True, "all"].passed >= same * found[True, "all"].count
    assert found[False, "all"].passed <= different * found[False, "all"].count


def test_which_is_asked_first_does_not_matter():
    judge = guard()

    for pair in pairs():
        there = judge.why_different(pair["a"], pair["b"])
        back = judge.why_different(pair["b"], pair["a"])

        assert bool(there) == bool(back), pair
