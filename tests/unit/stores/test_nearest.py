"""The nearest vectors are found, and only as near as asked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.stores.nearest import BLOCK, SMALL, Nearest


def vectors(count, size, seed=1):
    made = np.random.default_rng(seed).standard_normal((count, size)).astype("<f4")
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def filled(rows, limit=30_000):
    nearest = Nearest(limit)
    for i, row in enumerate(rows):
        nearest.add(b"%d" % i, row.tobytes(), b"kept %d" % i)
    return nearest


def turned(row, cosine, seed=2):
    """Another vector at that cosine to ``row``."""
    away = np.random.default_rng(seed).standard_normal(row.size).astype("<f4")
    away -= (away @ row) * row
    away /= np.linalg.norm(away)
    return (cosine * row + np.sqrt(1 - cosine**2) * away).astype("<f4").tobytes()


@pytest.mark.parametrize("size", [384, 1000, 1536])
@pytest.mark.parametrize("count", [10, 4000])
def test_a_near_one_is_found_among_many(count, size):
    rows = vectors(count, size)
    nearest = filled(rows)

    found = [nearest.find(turned(row, 0.93, i), 0.9, 3) for i, row in enumerate(rows[:50])]

    assert [f[0].name for f in found] == [b"%d" % i for i in range(min(50, count))]
    assert all(abs(f[0].cosine - 0.93) < 0.002 and f[0].kept.startswith(b"kept") for f in found)


def test_what_is_not_near_enough_is_not_found():
    rows = vectors(1000, 384)

    assert filled(rows).find(turned(rows[3], 0.93), 0.95, 3) == []


@given(st.integers(1, 40), st.floats(-0.3, 0.95), st.integers(1, 5), st.integers(0, 99))
def test_few_are_compared_in_full(count, threshold, most, seed):
    rows = vectors(count, 16, seed)
    wanted = vectors(1, 16, seed + 1000)[0]
    cosines = rows.astype(np.float16).astype("<f4") @ wanted
    best = sorted(range(count), key=lambda i: -cosines[i])[:most]

    found = filled(rows).find(wanted.tobytes(), threshold, most)

    assert [f.name for f in found] == [b"%d" % i for i in best if cosines[i] >= threshold]


def test_the_oldest_leave_first_and_their_room_is_used_again():
    rows = vectors(3 * SMALL, 64)
    nearest = filled(rows, limit=SMALL)
    size = nearest.size

    assert len(nearest) == SMALL
    assert b"0" not in nearest
    assert nearest.find(rows[0].tobytes(), 0.99, 1) == []
    assert nearest.find(rows[-1].tobytes(), 0.99, 1)[0].name == b"%d" % (3 * SMALL - 1)
    nearest.add(b"more", rows[0].tobytes(), b"kept 0000")
    assert abs(nearest.size - size) < 10


def test_what_is_dropped_is_not_found_even_at_right_angles():
    rows = vectors(5, 64)
    nearest = filled(rows)
    nearest.drop(b"2")
    nearest.drop(b"2")

    assert nearest.find(rows[2].tobytes(), 0.99, 5) == []
    assert len(nearest.find(rows[2].tobytes(), -1.0, 9)) == 4


def test_a_name_is_kept_once():
    rows = vectors(2, 64)
    nearest = filled(rows[:1])
    nearest.add(b"0", rows[1].tobytes(), b"new")

    assert len(nearest) == 1
    assert nearest.find(rows[1].tobytes(), 0.99, 5)[0].kept == b"new"
    assert nearest.find(rows[0].tobytes(), 0.99, 5) == []


def test_vectors_of_another_size_take_the_place_of_all():
    nearest = filled(vectors(5, 64))

    assert nearest.find(vectors(1, 32)[0].tobytes(), -1.0, 5) == []
    nearest.add(b"new", vectors(1, 32)[0].tobytes(), b"")
    assert len(nearest) == 1
    assert [f.name for f in nearest.find(vectors(1, 32)[0].tobytes(), 0.9, 5)] == [b"new"]


def test_nothing_is_found_in_nothing():
    assert Nearest(10).find(vectors(1, 32)[0].tobytes(), 0.0, 5) == []


def test_rows_that_stand_are_not_moved():
    rows = vectors(3 * BLOCK, 16)
    nearest = filled(rows[:BLOCK])
    first = nearest._vectors[0]
    for i, row in enumerate(rows):
        nearest.add(b"%d" % i, row.tobytes(), b"")

    assert nearest._vectors[0] is first
    assert [len(block) for block in nearest._vectors] == [BLOCK] * 3
    for i in (0, BLOCK - 1, BLOCK, 3 * BLOCK - 1):
        assert nearest.find(rows[i].tobytes(), 0.99, 1)[0].name == b"%d" % i


@given(st.integers(1, 3000))
def test_what_room_for_one_more_costs_is_known_before(count):
    row = vectors(1, 16)[0].tobytes()
    nearest = Nearest(10_000)
    for i in range(0, count, max(1, count // 40)):
        name = b"%d" % i
        before, cost = nearest.size, nearest.cost(row)
        nearest.add(name, row, b"kept")
        assert nearest.size - before == cost + 250 + 4
