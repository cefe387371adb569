"""Headers about limits, as OpenAI writes them."""

import pytest

from proxy.wire.ratelimits import duration, limit_headers, without_limits


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, b"0ms"), (0.0001, b"1ms"), (0.12, b"120ms"), (0.9999, b"1000ms"), (1, b"1s"), (1.5, b"1.5s"),
     (6.0004, b"6.001s"), (59.9999, b"60s"), (60, b"1m0s"), (360, b"6m0s"), (360.2, b"6m1s"), (9000, b"2h30m0s")],
)  # fmt: skip
def test_a_time_is_written_as_openai_does_and_rounded_up(seconds, text):
    assert duration(seconds) == text


def test_the_three_headers_of_a_kind_are_of_its_nearest_limit():
    assert limit_headers([("tokens", (0, 2))], (900, 1, 600), (8, 1, 7), (2.5, 1.0, 1.5)) == [
        (b"x-ratelimit-limit-tokens", b"600"),
        (b"x-ratelimit-remaining-tokens", b"7"),
        (b"x-ratelimit-reset-tokens", b"1.5s"),
    ]


def test_an_upstreams_own_limits_are_taken_off():
    kept = (b"content-type", b"x")

    assert without_limits([(b"X-RateLimit-Limit-Requests", b"1"), kept]) == [kept]
