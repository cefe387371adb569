"""Who fails again and again is left alone, and once more after a rest."""

from proxy.rules.patience import IN_A_ROW, REST_S, Patience


def failing(times, now=0.0):
    patience = Patience()
    return patience, [patience.failed(now) for _ in range(times)]


def test_a_service_is_left_alone_after_so_many_failures_in_a_row():
    patience, _ = failing(IN_A_ROW - 1)
    assert not patience.is_out(0.0)

    patience.failed(0.0)

    assert patience.is_out(REST_S - 0.1)
    assert not patience.is_out(REST_S)


def test_one_more_failure_after_the_rest_is_enough():
    patience, _ = failing(IN_A_ROW)
    patience.failed(REST_S)

    assert patience.is_out(2 * REST_S - 0.1)


def test_an_answer_makes_up_for_all_failures():
    patience, _ = failing(IN_A_ROW - 1)
    patience.answered()
    patience.failed(0.0)

    assert not patience.is_out(0.0)


def test_that_it_begins_is_said_once_until_there_is_an_answer():
    patience, said = failing(IN_A_ROW + 2)
    patience.answered()
    again = [patience.failed(0.0) for _ in range(IN_A_ROW)]

    assert said == [False] * (IN_A_ROW - 1) + [True, False, False]
    assert again == [False] * (IN_A_ROW - 1) + [True]
