"""Units read what people write and refuse the rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.units import (
    Address,
    Comparison,
    Count,
    Duration,
    Factor,
    Money,
    Percent,
    Rate,
    Secret,
    Size,
)  # fmt: skip


@pytest.mark.parametrize(
    ("unit", "text", "value"),
    [
        (Duration, "250ms", 0.25), (Duration, "1.5h", 5400), (Duration, "1d", 86400),
        (Size, "512", 512), (Size, "64KiB", 65536), (Size, "10MB", 10_000_000),
        (Count, "200k", 200_000), (Count, "1.5M", 1_500_000), (Count, "7", 7),
        (Percent, "20%", 0.2), (Percent, "0%", 0), (Percent, "100%", 1), (Factor, "2x", 2),
        (Money, "0.50", 500_000_000), (Money, "50", 50 * 10**9), (Money, "0.000000001", 1),
        (Rate, "600/min", Rate(600, 60)), (Rate, "200k/h", Rate(200_000, 3600)),
        (Comparison, ">12000", Comparison(">", 12000)), (Comparison, "<= 8k", Comparison("<=", 8000)),
        (Address, "127.0.0.1:8400", Address("127.0.0.1", 8400)), (Address, "[::1]:1", Address("::1", 1)),
        (Address, "unix:/run/x", Address("", 0, "/run/x")),
    ],
)  # fmt: skip
def test_a_unit_reads_what_people_write(unit, text, value):
    assert unit.parse(text) == value


@pytest.mark.parametrize(
    ("unit", "text"),
    [
        (Duration, "5"), (Duration, "5 s"), (Duration, "-5s"), (Duration, "1e3s"), (Size, "1TiB"),
        (Size, "-1"), (Count, "1.5"), (Count, "k"), (Percent, "20"), (Percent, "120%"),
        (Factor, "2"), (Money, "-1"), (Money, "NaN"), (Money, "1e30"), (Money, "0.0000000001"),
        (Rate, "600"), (Rate, "600/fortnight"), (Rate, "/min"), (Comparison, "=>1"),
        (Comparison, "about 5"), (Address, "8400"), (Address, ":8400"), (Address, "h:7000000000"),
        (Address, "http://h:1"),
    ],
)  # fmt: skip
def test_a_unit_refuses_the_rest_and_shows_how_to_write_it(unit, text):
    with pytest.raises(ValueError, match="like"):
        unit.parse(text)


@given(st.sampled_from([Duration, Size, Count, Percent, Factor, Money, Rate, Comparison, Address]),
       st.text(max_size=12))  # fmt: skip
def test_no_text_raises_anything_but_a_value_error(unit, text):
    try:
        value = unit.parse(text)
    except ValueError:
        return

    assert value is not None


@given(st.integers(0, 10**9), st.sampled_from(["s", "min", "h", "day"]))
def test_a_rate_reads_what_it_writes(amount, per):
    rate = Rate.parse(f"{amount}/{per}")

    assert Rate.parse(str(rate)) == rate


def test_a_secret_shows_nothing():
    secret = Secret("hush")

    assert f"{secret} {secret!r} {secret!s}" == "*** '***' ***"
    assert secret.reveal() == "hush"
    assert type(secret.reveal()) is str


def test_a_port_that_is_too_large_is_called_so():
    with pytest.raises(
        ValueError, match="the port of 'h:70000' is too large; ports go up to 65535"
    ):
        Address.parse("h:70000")
