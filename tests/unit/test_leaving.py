"""Told to leave, once and again."""

import asyncio

from proxy.leaving import AGAIN_S, Leaving
from tests.kit import FakeClock


def signals(*times):
    """Whether a process that got signals at ``times`` leaves, and leaves at once."""
    clock = FakeClock()
    leaving = Leaving(clock)
    for at in times:
        clock.advance(at - clock.now())
        leaving.told()
    return leaving.begun.is_set(), leaving.forced.is_set()


def test_only_a_signal_that_comes_later_cuts_short():
    assert signals() == (False, False)
    assert signals(5) == (True, False)
    assert signals(5, 5, 5 + AGAIN_S / 2) == (True, False)
    assert signals(5, 5 + AGAIN_S) == (True, True)
    # An impatient Ctrl-C: what came too soon does not put off what comes then.
    assert signals(5, 5.5, 6) == (True, True)


async def test_a_pause_ends_when_nothing_is_waited_for():
    leaving = Leaving(FakeClock())
    waiting = asyncio.create_task(leaving.pause(60))
    await asyncio.sleep(0)
    leaving.force()
    leaving.force()
    await asyncio.wait_for(waiting, 5)
    await leaving.pause(0)

    assert leaving.begun.is_set()
