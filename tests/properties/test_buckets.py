"""No history of reserving and settling lets more through than the limit."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.ledger import Limit
from proxy.rules.buckets import Book, reserve
from proxy.rules.counters import line_of
from proxy.rules.settlement import settle

NOW = 1_800_000_000 * 1_000_000

# Small whole numbers of one unit a second: there the corners are, where a charge
# has just drained, or nearly.
coarse = st.lists(
    st.tuples(
        st.integers(0, 3).map(lambda s: s * 1_000_000),  # time that passes, us
        st.integers(1, 4),  # estimate
        st.sampled_from([0.0, 1.0]),  # share of it that is used
        st.integers(1, 3),  # how many later steps until it is settled
    ),
    min_size=4,
    max_size=8,
)
fine = st.lists(
    st.tuples(st.integers(0, 3_000_000), st.integers(1, 60), st.floats(0, 1), st.integers(0, 6)),
    max_size=40,
)
rates = st.tuples(st.integers(1, 200), st.sampled_from([1, 7, 60]), st.integers(1, 100))
stories = st.one_of(
    st.tuples(rates, fine),
    st.tuples(st.tuples(st.just(1), st.just(1), st.integers(4, 6)), coarse),
)


@given(stories)
def test_what_is_used_never_passes_the_burst_and_the_rate(story):
    """Whatever is refunded, and whenever: between any two admissions no more was
    used than the burst and what the rate gave in between.
    """
    (amount, seconds, burst), history = story
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


@given(stories)
def test_a_refusal_names_the_first_moment_that_would_do(story):
    (amount, seconds, burst), history = story
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
