"""What the last outcomes prove."""

from proxy.rules.trials import WINDOW, Trials
from proxy.semantic.agreement import agree, cosine
from tests.meaning import vector_of


def tried(*outcomes):
    trials = Trials()
    for is_wrong in outcomes:
        trials.add(is_wrong=is_wrong)
    return trials


def test_nothing_is_proven_by_no_trial():
    trials = Trials()

    assert (trials.number, trials.wrong, trials.at_most, trials.at_least) == (0, 0, 1.0, 0.0)


def test_fifty_nine_good_ones_prove_five_in_a_hundred():
    assert tried(*[False] * 58).at_most > 0.05
    assert tried(*[False] * 59).at_most < 0.05


def test_many_wrong_ones_prove_that_it_is_bad():
    trials = tried(*[True] * 5, *[False] * 5)

    assert trials.at_least > 0.2
    assert trials.at_most < 0.8


def test_only_the_last_ones_count():
    trials = tried(*[True] * 10, *[False] * WINDOW)

    assert (trials.number, trials.wrong) == (WINDOW, 0)
    assert trials.at_most < 0.004


def test_answers_agree_in_other_case_and_with_the_same_numbers():
    assert agree("It is 42.", "it is 42", 0.0)
    assert agree("Paris is the capital.", "The capital is Paris.", 0.97)
    assert agree("It was built in 1889.", "Built in 1889, it is 330 m high.", 0.9)


def test_answers_that_contradict_do_not_agree_however_near():
    assert not agree("It is 42.", "It is 43.", 0.99)
    assert not agree("Yes, you may.", "No, you may not.", 0.99)
    assert not agree("Yes.", "Certainly you may.", 0.99)
    assert not agree("Paris is the capital.", "Berlin is a city.", 0.6)


def test_cosine_of_a_vector_with_itself_is_one():
    assert abs(cosine(vector_of("a cat"), vector_of("cat")) - 1) < 1e-6
    assert cosine(vector_of("cat"), vector_of("tax law")) < 0.5
