"""An adaptive cap stays within its bounds and comes back from anything."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.rules.adaptive import Aimd, Gradient

most = st.integers(1, 200)
kinds = st.sampled_from([Aimd, Gradient])
history = st.lists(
    st.one_of(
        st.tuples(st.just("back"), st.floats(0, 10), st.floats(0, 10)),
        st.tuples(
            st.just("served"),
            st.integers(1, 200),
            st.none() | st.floats(-1, 1000, allow_nan=False),
            st.integers(0, 200_000),
        ),
        st.tuples(st.just("bound"), most),
    ),
    max_size=100,
)


def play(cap, upper, events):
    now = 0.0
    for name, *values in events:
        if name == "back":
            now += values[0]
            cap.pushed_back(now - values[1], now)
        elif name == "served":
            cap.served(*values)
        else:
            upper = values[0]
            cap.bound(upper)
        yield cap.cap, upper
    yield cap.cap, upper


@given(kinds, most, history)
def test_the_cap_is_always_between_1_and_the_most(kind, upper, events):
    for cap, bound in play(kind(upper), upper, events):
        assert 1 <= cap <= bound


@given(kinds, most, history)
def test_after_any_history_ordinary_answers_bring_it_back(kind, upper, events):
    cap = kind(upper)
    for _, bound in play(cap, upper, events):
        upper = bound
    for _ in range(5000 if kind is Gradient else (upper + 1) ** 2):
        cap.served(cap.cap, 0.2, 1000)

    assert cap.cap == upper


@given(most)
def test_one_round_trip_lowers_it_once(upper):
    cap = Aimd(upper)
    for sent_at in (0.0, 0.5, 1.0):
        cap.pushed_back(sent_at, 1.0)
    assert cap.cap == max(1, int(upper * 0.7))

    cap.pushed_back(1.1, 2.0)
    assert cap.cap == max(1, int(upper * 0.7 * 0.7))


def test_a_full_round_of_answers_raises_it_by_one():
    cap = Aimd(10)
    cap.pushed_back(0.0, 1.0)
    assert cap.cap == 7
    for _ in range(7):
        assert cap.cap == 7
        cap.served(7, None, 0)

    assert cap.cap == 8


@given(kinds)
def test_an_idle_upstream_proves_nothing(kind):
    cap = kind(20)
    cap.pushed_back(0.0, 1.0)
    for _ in range(1000):
        cap.served(6, 0.1, 100)

    assert cap.cap == 14


def test_later_first_tokens_lower_the_gradient_and_longer_prompts_do_not():
    cap = Gradient(64)
    for prompt in (10, 1000, 8000) * 100:
        cap.served(cap.cap, 0.0001 * (prompt + 256), prompt)
    assert cap.cap == 64

    for _ in range(30):
        cap.served(cap.cap, 0.001 * 1256, 1000)
    assert cap.cap < 20

    for _ in range(200):
        cap.served(cap.cap, 0.0001 * 1256, 1000)
    assert cap.cap == 64


def test_an_upstream_that_is_slower_for_good_gets_its_share_again():
    cap = Gradient(32)
    for _ in range(1000):
        cap.served(cap.cap, 0.1, 500)
    for _ in range(100):
        cap.served(cap.cap, 1.0, 500)
    assert cap.cap <= 8

    for _ in range(2000):
        cap.served(cap.cap, 1.0, 500)
    assert cap.cap == 32
