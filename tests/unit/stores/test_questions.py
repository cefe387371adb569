"""Frames of questions cost what they take, and those without a question leave first."""

import asyncio

import numpy as np

from proxy.core.semantic import Asked
from proxy.stores.questions import FRAME, LISTENING, KeptQuestions
from proxy.stores.replies import Page
from proxy.stores.sealed import Master
from tests.kit import FakeClock

SALT = b"s" * 32
UNIT = np.ones(16, "<f4") / 4


class Shared:
    """A store that has nothing."""

    is_up = True

    def __init__(self, pages=()):
        self.pages = list(pages)
        self.asked = 0
        self.learned = 0

    def salt(self, scope):
        return SALT

    async def questions(self, *_, **__):
        self.asked += 1
        return self.pages.pop(0) if self.pages else Page([])

    def learn(self, *_):
        self.learned += 1


class Tasks:
    """Runs what is begun when it is asked to."""

    def __init__(self):
        self.begun = []

    def begin(self, work):
        self.begun.append(work)

    pause = staticmethod(asyncio.sleep)


def questions(limit, shared=None):
    kept = KeptQuestions(
        shared or Shared(), Master(b"k" * 32, "vector"), Tasks(), FakeClock(), is_far=True
    )
    kept.limit = limit
    return kept


def add(kept, frame, name=b"n", vector=UNIT):
    asked = Asked(1.0, "a question", name)
    kept.add("t.a", frame, asked, vector.tobytes(), era=SALT, seconds=60)


def near(kept, frame):
    return kept.near("t.a", frame, UNIT.tobytes(), 0.9, 1)


async def test_frames_that_only_listen_are_bounded():
    kept = questions(100 * FRAME)
    for i in range(3000):
        await kept.hear("t.a", b"%d" % i)

    assert kept.size == len(kept._frames) * FRAME <= kept.limit
    kept.forget("")
    assert (kept.size, len(kept._frames), len(kept._empty)) == (0, 0, 0)


async def test_so_many_listen_that_forgetting_them_is_quick():
    kept = questions(1 << 30)
    for i in range(LISTENING + 10):
        await kept.hear("t.a", b"%d" % i)

    assert len(kept._frames) == LISTENING


async def test_frames_that_only_listen_leave_before_those_with_questions():
    kept = questions(100 * FRAME)
    add(kept, b"first")
    for i in range(3000):
        await kept.hear("t.a", b"%d" % i)

    assert near(kept, b"first")


def test_a_frame_that_has_lost_its_last_question_leaves_before_others():
    kept = questions(1 << 20)
    add(kept, b"first")
    add(kept, b"second")
    kept.limit = kept.size
    kept.drop("t.a", b"second", b"n")
    add(kept, b"third")

    assert near(kept, b"first")
    assert ("t.a", b"second") not in kept._frames


async def test_what_listens_when_all_is_full_is_heard():
    kept = questions(20 * FRAME)
    for i in range(100):
        add(kept, b"%d" % i)
    await kept.hear("t.a", b"new")

    assert ("t.a", b"new") in kept._frames
    assert kept.size <= kept.limit


def test_asking_makes_no_frame():
    kept = questions(1 << 20)

    assert near(kept, b"f") == []
    assert len(kept._frames) == 0


def test_one_frame_never_grows_beyond_the_limit():
    kept = questions(4 << 20)
    rng = np.random.default_rng(1)
    for i in range(3000):
        add(kept, b"f", b"%d" % i, rng.standard_normal(768).astype("<f4"))
        assert kept.size <= kept.limit

    assert kept.size > 0.75 * kept.limit
    add(kept, b"f", b"last", np.ones(768, "<f4") / np.float32(768**0.5))
    found = kept.near("t.a", b"f", (np.ones(768, "<f4") / np.float32(768**0.5)).tobytes(), 0.9, 1)
    assert [a.name for a in found] == [b"last"]


async def test_a_store_that_always_has_more_is_not_read_for_ever():
    class Endless(Shared):
        async def questions(self, *_, **__):
            self.asked += 1
            return Page([], b"9-9", b"1-1", is_more=True, odd=200)

    shared = Endless()
    kept = questions(1 << 20, shared)
    await kept.hear("t.a", b"f")
    await asyncio.wait_for(kept._tasks.begun[0], 10)

    assert shared.asked < 1000
    assert kept.rejected == 200 * shared.asked


async def test_what_was_asked_before_is_read_again_where_the_store_fell_silent():
    newest = Page([], b"9-9", b"5-5", is_more=True)
    kept = questions(1 << 20, Shared([newest, None, newest, Page([], b"4-4", b"1-1")]))
    for _ in range(3):
        kept._clock.advance(1)
        await kept.hear("t.a", b"f")
        while kept._tasks.begun:
            await kept._tasks.begun.pop()

    assert kept._shared.asked == 5
    assert kept._shared.pages == []


async def test_odd_entries_are_read_once():
    shared = Shared([Page([], b"9-9", b"1-1", odd=5)])
    kept = questions(1 << 20, shared)
    await kept.hear("t.a", b"f")

    assert kept._frames["t.a", b"f"].last == b"9-9"


def test_a_question_too_large_for_the_store_is_kept_here_only():
    kept = questions(1 << 20)
    add(kept, b"f")
    add(kept, b"f", b"large", np.random.default_rng(1).standard_normal(40_000).astype("<f4"))

    assert kept._shared.learned == 1
    assert b"large" in kept._frames["t.a", b"f"].nearest
