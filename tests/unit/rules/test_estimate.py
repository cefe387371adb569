"""Estimates before anybody counted, and what is learned from those who did."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.exchange import Usage
from proxy.rules.estimate import (
    FEW,
    FIRST_OUTPUT,
    MAX_LEARNED,
    PAUSE_S,
    Estimator,
    Quantile,
    sizes_of,
)


def letters(tokens):
    """A prompt that is taken for so many tokens."""
    return (round(tokens * 5), 0, 0, 0, 0, 0)


def guess(data, *more):
    return Estimator().known("a", "m").prompt(sizes_of(data, *more))[0]


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("The quick brown fox jumps over the lazy dog. " * 20, 160, 240),  # 10 tokens each
        ("1234567890" * 30, 90, 190),  # three digits a token
        ("今日は良い天気ですね。" * 20, 140, 240),
        ("def f(x):\n    return {'a': x[0], 'b': None}\n" * 10, 120, 230),
        ("", 1, 1),
    ],
)
def test_each_kind_of_text_is_near_what_tokenizers_make_of_it(text, low, high):
    assert low <= guess(text.encode()) <= high


def test_messages_images_and_numbered_tokens_count_apart():
    assert guess(b"", 2, 1, 100) == 2 * 4 + 765 + 100 + 1


@given(st.binary(max_size=300))
def test_any_bytes_have_a_sensible_number_of_tokens(data):
    """Also what is no UTF-8: never below nothing, never over one a byte."""
    assert 1 <= guess(data) <= len(data) + 1
    assert sum(sizes_of(data)[:5]) >= len(data)


def test_before_anything_is_learned_the_answer_is_a_fixed_guess():
    assert Estimator().known("a", "m").answer(None) == FIRST_OUTPUT
    assert Estimator().known("a", "m").prompt(letters(100)) == (101, 126)


def test_the_clients_own_bound_of_the_answer_is_kept():
    assert Estimator().known("a", "m").answer(20) == 20


@given(
    st.floats(min_value=0.4, max_value=5.0),
    st.lists(st.integers(50, 5000), min_size=30, max_size=60),
)
def test_the_factor_of_a_model_is_found(factor, prompts):
    estimator = Estimator()
    for prompt in prompts:
        estimator.learn("a", "m", letters(prompt), Usage(round(prompt * factor), 10))

    found, most = estimator.known("a", "m").prompt(letters(1000))

    assert abs(found - 1000 * factor) <= 0.05 * 1000 * factor + 2
    assert found <= most <= found * 1.2 + 2


def test_kinds_of_text_are_learned_apart():
    """Letters at four bytes a token, digits at one: mixed as it comes."""
    estimator = Estimator()
    for number in range(400):
        sizes = (100 + number * 37 % 900, 0, 10 + number * 53 % 300, 0, 0, 0)
        estimator.learn("a", "m", sizes, Usage(sizes[0] // 4 + sizes[2], 10), at=float(number))

    assert abs(estimator.known("a", "m").prompt((4000, 0, 0, 0, 0, 0))[0] - 1000) < 60
    assert abs(estimator.known("a", "m").prompt((0, 0, 1000, 0, 0, 0))[0] - 1000) < 60


def test_after_the_first_those_of_the_same_moment_teach_nothing():
    estimator = Estimator()
    for _ in range(FEW + 1):
        estimator.learn("a", "m", letters(100), Usage(100, 10), at=5.0)
    before = estimator.known("a", "m").prompt(letters(100))
    estimator.learn("a", "m", letters(100), Usage(200, 10), at=5.0 + PAUSE_S / 2)
    during = estimator.known("a", "m").prompt(letters(100))
    estimator.learn("a", "m", letters(100), Usage(200, 10), at=5.0 + 2 * PAUSE_S)

    assert during == before
    assert estimator.known("a", "m").prompt(letters(100)) > before


def test_what_one_tenant_teaches_is_not_anothers():
    estimator = Estimator()
    estimator.learn("a", "m", letters(100), Usage(200, 1000))

    for tenant, model in (("b", "m"), ("a", "n")):
        assert estimator.known(tenant, model).prompt(letters(100))[0] == 101
        assert estimator.known(tenant, model).answer(None) == FIRST_OUTPUT


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.tuples(*[st.integers(0, 10**7)] * 6))
def test_no_report_however_absurd_moves_an_estimate_beyond_reason(prompt, output, sizes):
    estimator = Estimator()
    for _ in range(5):
        estimator.learn("a", "m", sizes, Usage(prompt, output))

    assert 1000 / 3.1 <= estimator.known("a", "m").prompt(letters(1000))[0] <= 8001


@given(st.lists(st.integers(0, 100_000), min_size=20, max_size=200))
def test_nine_in_ten_are_below_the_quantile(values):
    """In the weight that newer values have, and within one bucket of a fifth."""
    quantile = Quantile()
    for value in values:
        quantile.add(value)
    weights = [1.02**i for i in range(len(values))]
    bound = quantile.value()
    below = sum(w for w, v in zip(weights, values, strict=True) if v <= bound)
    well_below = sum(w for w, v in zip(weights, values, strict=True) if v < bound / 1.2 - 1)

    assert below >= 0.9 * sum(weights) * (1 - 1e-9)
    assert well_below <= 0.9 * sum(weights) * (1 + 1e-9)


def test_a_quantile_goes_on_for_ever():
    quantile = Quantile()
    for _ in range(3000):
        quantile.add(100)
    for _ in range(300):
        quantile.add(10)

    assert 10 <= quantile.value() <= 12


def test_no_more_is_remembered_than_there_is_room_for():
    estimator = Estimator()
    for number in range(MAX_LEARNED + 10):
        estimator.learn("a", f"m{number}", letters(100), Usage(200, 10))

    assert estimator.known("a", "m0").prompt(letters(100))[0] == 101
    assert estimator.known("a", f"m{MAX_LEARNED}").prompt(letters(100))[0] > 190
