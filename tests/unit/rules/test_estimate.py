"""Estimates before anybody counted, and what is learned from those who did."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.exchange import Usage
from proxy.rules.estimate import FIRST_OUTPUT, MAX_LEARNED, Estimator, Quantile, raw_tokens


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("The quick brown fox jumps over the lazy dog. " * 20, 180, 240),  # 10 tokens each
        ("1234567890" * 30, 90, 130),  # three digits a token
        ("今日は良い天気ですね。" * 20, 140, 240),
        ("def f(x):\n    return {'a': x[0], 'b': None}\n" * 10, 120, 220),
        ("", 0, 0),
    ],
)
def test_each_kind_of_text_is_near_what_tokenizers_make_of_it(text, low, high):
    assert low <= raw_tokens(text.encode()) <= high


def test_messages_images_and_numbered_tokens_count_apart():
    assert raw_tokens(b"", 2, 1, 100) == 2 * 4 + 765 + 100


@given(st.binary(max_size=300))
def test_any_bytes_have_a_sensible_number_of_tokens(data):
    """Also what is no UTF-8: never below nothing, never over one a byte."""
    assert 0 <= raw_tokens(data) <= len(data) + 1


def test_before_anything_is_learned_the_answer_is_a_fixed_guess():
    assert Estimator().estimate("a", "m", 10.2, None) == Usage(11, FIRST_OUTPUT, estimated=True)


def test_the_clients_own_bound_of_the_answer_is_kept_for_each_choice():
    assert Estimator().estimate("a", "m", 10.0, 20, 3).completion == 60


@given(
    st.floats(min_value=0.2, max_value=5.0),
    st.lists(st.integers(50, 5000), min_size=30, max_size=60),
)
def test_the_factor_of_a_model_is_found(factor, prompts):
    estimator = Estimator()
    for prompt in prompts:
        estimator.learn("a", "m", float(prompt), Usage(round(prompt * factor), 10))

    found = estimator.estimate("a", "m", 1000.0, None).prompt

    assert abs(found - 1000 * factor) <= 0.05 * 1000 * factor + 2


def test_what_one_tenant_teaches_is_not_anothers():
    estimator = Estimator()
    estimator.learn("a", "m", 100.0, Usage(200, 1000))

    assert estimator.estimate("b", "m", 100.0, None) == Usage(101, FIRST_OUTPUT, estimated=True)
    assert estimator.estimate("a", "n", 100.0, None) == Usage(101, FIRST_OUTPUT, estimated=True)


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.floats(0, 1e6))
def test_no_report_however_absurd_moves_an_estimate_beyond_eight_times(prompt, output, raw):
    estimator = Estimator()
    for _ in range(5):
        estimator.learn("a", "m", raw, Usage(prompt, output))

    assert 1000 / 8.1 <= estimator.estimate("a", "m", 1000.0, None).prompt <= 8001


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
        estimator.learn("a", f"m{number}", 100.0, Usage(200, 10))

    assert estimator.estimate("a", "m0", 100.0, None).prompt == 101
    assert estimator.estimate("a", f"m{MAX_LEARNED}", 100.0, None).prompt > 190
