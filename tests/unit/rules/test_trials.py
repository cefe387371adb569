"""What the last outcomes prove."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.rules.evidence import upper_bound
from proxy.rules.trials import (
    ENOUGH,
    MAX_SCOPES,
    SCOPE_WINDOW,
    WINDOW,
    ScopedTrials,
    Trials,
)

outcomes = st.lists(st.sampled_from([True, False, None]), max_size=300)


def tried(*outcomes):
    trials = Trials()
    for i, is_wrong in enumerate(outcomes):
        trials.add(b"%d" % i, is_wrong=is_wrong)
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


def test_a_thing_counts_once_among_the_last():
    trials = Trials(2)
    for thing in (b"a", b"a", b"b", b"a"):
        trials.add(thing, is_wrong=thing == b"a")
    assert (trials.number, trials.wrong) == (2, 1)

    trials.add(b"c", is_wrong=False)
    assert (trials.number, trials.wrong) == (2, 0)
    trials.add(b"a", is_wrong=True)
    assert (trials.number, trials.wrong) == (2, 1)


def looked(trials, scope, *outcomes):
    for i, is_wrong in enumerate(outcomes):
        trials.add(scope, f"{scope} {i} {trials.looked.number}".encode(), is_wrong=is_wrong)


def test_a_scope_is_bad_by_its_own_outcomes_alone():
    trials = ScopedTrials()
    looked(trials, "bad", *[True] * 900)

    assert trials.is_bad("bad", 0.05)
    assert not trials.is_bad("other", 0.05)
    assert not trials.is_bad_for_all(0.05)
    assert trials.bad_scopes(0.05) == 1


def test_no_scope_is_bad_before_it_has_enough():
    trials = ScopedTrials()
    looked(trials, "a", *[True] * (ENOUGH - 1))

    assert not trials.is_bad("a", 0.05)
    looked(trials, "a", *[True])
    assert trials.is_bad("a", 0.05)


def test_two_bad_scopes_speak_for_those_of_whom_nothing_is_known():
    trials = ScopedTrials()
    looked(trials, "good", *[False] * ENOUGH)
    looked(trials, "a", *[True] * ENOUGH)
    looked(trials, "b", *[True] * ENOUGH)

    assert trials.is_bad("new", 0.05)
    assert trials.is_bad_for_all(0.05)
    assert not trials.is_bad("good", 0.05)
    assert trials.bad_scopes(0.05) == 2


def test_two_bad_scopes_among_many_good_ones_speak_for_nobody():
    trials = ScopedTrials()
    for i in range(50):
        looked(trials, f"good{i}", *[False] * 10)
    looked(trials, "a", *[True] * ENOUGH)
    looked(trials, "b", *[True] * ENOUGH)

    assert not trials.is_bad("new", 0.05)


def test_a_scope_drowns_no_error_of_another():
    trials = ScopedTrials()
    looked(trials, "bad", *[True] * ENOUGH)
    looked(trials, "loud", *[False] * 900)

    assert trials.is_bad("bad", 0.05)


def test_a_scope_comes_back_when_it_is_right_again():
    trials = ScopedTrials()
    looked(trials, "a", *[True] * ENOUGH, *[False] * 100)

    assert not trials.is_bad("a", 0.05)


def test_what_was_looked_at_is_not_wanted_again():
    trials = ScopedTrials()

    assert trials.wants(b"x")
    assert trials.add("a", b"x", is_wrong=False)
    assert not trials.wants(b"x")
    assert not trials.add("b", b"x", is_wrong=True)
    assert (trials.whole.number, trials.whole.wrong) == (1, 0)


def test_scopes_are_kept_up_to_a_number():
    trials = ScopedTrials()
    looked(trials, "first", *[True] * ENOUGH)
    looked(trials, "second", *[True] * ENOUGH)
    for i in range(MAX_SCOPES - 2):
        looked(trials, f"scope{i}", *[False])
    looked(trials, "first", *[True])
    looked(trials, "last", *[False])

    assert trials.is_bad("first", 0.05)
    assert not trials.is_bad("second", 0.05)
    assert trials.bad_scopes(0.05) == 1


@given(outcomes)
def test_the_bound_holds_whatever_the_undecided_are(outcomes):
    trials = ScopedTrials()
    looked(trials, "a", *outcomes)
    as_right, as_wrong, without = ScopedTrials(), ScopedTrials(), ScopedTrials()
    looked(as_right, "a", *[outcome is True for outcome in outcomes])
    looked(as_wrong, "a", *[outcome is not False for outcome in outcomes])
    looked(without, "a", *[outcome for outcome in outcomes if outcome is not None])

    assert trials.looked.at_most == as_wrong.looked.at_most
    assert trials.looked.at_most >= trials.whole.at_most == without.whole.at_most
    assert trials.looked.at_least == as_right.looked.at_least <= trials.whole.at_least
    for max_error in (0.0, 0.05, 0.5):
        assert trials.is_bad("a", max_error) == without.is_bad("a", max_error)
    assert trials.looked.undecided == outcomes.count(None)
    assert trials.whole.number + trials.looked.undecided == len(outcomes)


def test_what_is_undecided_drives_out_nothing_that_is_proven():
    trials = ScopedTrials()
    looked(trials, "a", *[True] * ENOUGH)
    for i in range(2 * WINDOW):
        assert trials.add("a", b"open %d" % i, is_wrong=None)

    assert trials.is_bad("a", 0.05)
    assert trials.bad_scopes(0.05) == 1
    assert (trials.whole.number, trials.looked.undecided) == (ENOUGH, WINDOW)
    assert trials.looked.at_most == 1.0
    looked(trials, "a", *[False] * SCOPE_WINDOW)
    assert not trials.is_bad("a", 0.05)
    assert trials.looked.at_most == upper_bound(WINDOW - SCOPE_WINDOW, WINDOW)


def test_what_was_undecided_is_not_wanted_again():
    trials = ScopedTrials()

    assert trials.add("a", b"x", is_wrong=None)
    assert not trials.wants(b"x")
    assert not trials.add("a", b"x", is_wrong=False)
