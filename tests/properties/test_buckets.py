"""No history of reserving and settling lets more through than the limit."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.ledger import Limit
from proxy.rules.buckets import Book, reserve
from proxy.rules.counters import line_of
from proxy.rules.settlement import settle

NOW = 1_800_000_000 * 1_000_000

steps = st.lists(
    st.tuples(
        st.integers(0, 3_000_000),  # time that passes, us
        st.integers(1, 60),  # estimate
        st.floats(0, 1),  # share of it that is used
        st.integers(0, 6),  # how many later steps until it is settled
    ),
    max_size=40,
)
rates = st.tuples(st.integers(1, 200), st.sampled_from([1, 7, 60]), st.integers(1, 100))


@given(rates, steps)
def test_what_is_used_never_passes_the_burst_and_the_rate(rate, history):
    """Whatever is refunded, and whenever: between any two admissions no more was
    used than the burst and what the rate gave in between.
    """
    amount, seconds, burst = rate
    line = line_of(
        Limit(name="r", kind="rate", cap=burst, amount=amount, seconds=seconds), "tenant"
    )
    book, now, used, due = Book("t"), NOW, [], []
    for number, (passes, estimate, share, delay) in enumerate(history):
        now += passes
        for entry in [e for e in due if e[0] <= number]:
            due.remove(entry)
            settle(book, now, entry[1], [(line, entry[2])], b"")
        if reserve(book, now, f"l{number}", [(line, estimate)]).denied < 0:
            used.append((now, int(estimate * share)))
            due.append((number + delay, f"l{number}", int(estimate * share)))

    for i in range(len(used)):
        total = 0
        for at, spent in used[i:]:
            total += spent
            assert (total - burst) * seconds * 1_000_000 <= amount * (at - used[i][0])


@given(rates, steps)
def test_a_refusal_names_the_first_moment_that_would_do(rate, history):
    amount, seconds, burst = rate
    line = line_of(
        Limit(name="r", kind="rate", cap=burst, amount=amount, seconds=seconds), "tenant"
    )
    book, now = Book("t"), NOW
    for number, (passes, estimate, share, _) in enumerate(history):
        now += passes
        verdict = reserve(book, now, f"l{number}", [(line, estimate)])
        if verdict.denied < 0:
            settle(book, now, f"l{number}", [(line, int(estimate * share))], b"")
            continue
        if estimate > burst:
            assert verdict.wait == -1
            continue
        assert reserve(book, now + verdict.wait - 1, "", [(line, estimate)]).denied == 0
        assert reserve(book, now + verdict.wait, "", [(line, estimate)]).denied == -1
