"""What the last outcomes prove."""

from proxy.rules.trials import WINDOW, Trials


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
