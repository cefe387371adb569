"""What several processes count, as one."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from proxy.observe.together import Together


def exposition(count, busy, **more):
    told = [
        "# TYPE sidestream_requests_total counter",
        f'sidestream_requests_total{{route="a\\"b"}} {count}',
        "# TYPE sidestream_wait_seconds histogram",
        f'sidestream_wait_seconds_bucket{{le="+Inf"}} {count}',
        f"sidestream_wait_seconds_count {count}",
        f"sidestream_wait_seconds_sum {count * 0.5}",
        "# TYPE sidestream_in_flight gauge",
        f"sidestream_in_flight {busy}",
    ]
    for name, value in more.items():
        told += [f"# TYPE {name} gauge", f"{name} {value}"]
    return "\n".join([*told, ""])


def values(text):
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_counts_are_summed_and_gauges_joined_as_they_mean():
    one, two = (exposition(n, n, sidestream_store_is_up=n - 1) for n in (1, 2))
    found = values(Together().added(1, {"a": one, "b": two}, ["a", "b"]))

    assert found["sidestream_requests_total"] == 3
    assert found["sidestream_wait_seconds_sum"] == 1.5
    assert found["sidestream_in_flight"] == 3
    assert found["sidestream_store_is_up"] == 0


def test_what_a_dead_process_counted_stays_and_what_it_did_is_over():
    counts = Together()
    counts.added(1, {"a": exposition(5, 2), "b": exposition(1, 1)}, ["a", "b"])
    silent = values(counts.added(1, {"b": exposition(2, 1)}, ["a", "b"]))
    dead = values(counts.added(1, {"b": exposition(2, 1)}, ["b"]))
    back = values(counts.added(1, {"b": exposition(2, 1), "c": exposition(1, 0)}, ["b", "c"]))
    nobody = values(counts.added(1, {}, []))

    totals = [one["sidestream_requests_total"] for one in (silent, dead, back, nobody)]
    assert totals == [7, 7, 8, 8]
    assert [one.get("sidestream_in_flight") for one in (silent, dead, back, nobody)] == [
        1, 1, 1, None,
    ]  # fmt: skip
    assert 'route="a\\"b"' in counts.added(1, {}, [])


def test_of_two_who_ask_at_once_the_later_question_has_the_newer_answer():
    counts = Together()
    first, second = counts.turn(), counts.turn()
    counts.added(second, {"a": exposition(7, 0)}, ["a"])
    counts.added(first, {"a": exposition(6, 0)}, ["a"])

    assert values(counts.added(second, {}, []))["sidestream_requests_total"] == 7


events = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["count", "die", "mute"]), st.integers(0, 5)),
    max_size=30,
)


@given(events)
def test_no_sum_falls_whatever_becomes_of_the_processes(events):
    counts, lives, before = Together(), {i: (i, 0) for i in range(3)}, 0
    for step, (which, what, more) in enumerate(events):
        name, count = lives[which]
        lives[which] = (f"{which} since {step}", 0) if what == "die" else (name, count + more)
        told = {
            name: exposition(count, 0)
            for i, (name, count) in lives.items()
            if i != which or what != "mute"
        }
        text = counts.added(1, told, [name for name, _ in lives.values()])
        total = values(text)["sidestream_requests_total"]
        assert total >= before
        before = total
