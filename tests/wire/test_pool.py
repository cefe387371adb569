"""Connections under a bound: never one too many, and no place is lost."""

import asyncio
import contextlib
import random

import pytest

from proxy.core.errors import Overloaded, UpstreamRefused
from proxy.upstream.connection import Connection
from proxy.upstream.pool import Origin, Pool
from tests.scripted import Scripted, json_answer, says


class Answered(Connection):
    """A connection whose answers are always over."""

    @property
    def is_reusable(self):
        return self.transport is not None and not self.transport.is_closing()


@contextlib.asynccontextmanager
async def pool(limit, connect_s=5.0):
    loop = asyncio.get_running_loop()
    async with Scripted([says(json_answer())]) as up:
        made = Pool(
            Origin("127.0.0.1", up.port),
            lambda: Answered(loop, loop.time),
            limit=limit,
            connect_s=connect_s,
        )
        yield made
        made.close()


async def begun(*tasks):
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


def opening(of):
    return asyncio.create_task(of.open())


async def test_who_waits_is_given_the_place_before_a_newcomer():
    async with pool(1) as one:
        held = await one.open()
        waits, newcomer = await begun(opening(one), opening(one))
        one.release(held)
        assert one.take_idle() is None
        later = opening(one)
        await begun()

        assert await waits is held
        assert one.in_flight == 1
        assert not newcomer.done()
        for next_one in (newcomer, later):
            one.release(held)
            assert await next_one is held
        one.release(held)


@pytest.mark.parametrize("is_kept", [True, False])
async def test_a_place_that_was_given_to_who_leaves_goes_to_the_next(is_kept):
    async with pool(1) as one:
        held = await one.open()
        leaves, stays = await begun(opening(one), opening(one))
        if not is_kept:
            held.abort()
        one.release(held)
        leaves.cancel()

        conn = await asyncio.wait_for(stays, 4.0)
        assert (conn is held) is is_kept
        assert one.in_flight == 1
        one.release(conn)


async def test_a_place_in_which_nothing_could_be_opened_goes_to_the_next():
    async with pool(1) as one:
        held = await one.open()
        waits = await begun(opening(one), opening(one))
        one.origin = Origin("127.0.0.1", 1)
        held.abort()
        one.release(held)

        for task in waits:
            with pytest.raises(UpstreamRefused):
                await asyncio.wait_for(task, 4.0)
        assert one.in_flight == 0


async def test_who_waits_too_long_is_told_and_takes_no_place():
    async with pool(1, connect_s=0.05) as one:
        held = await one.open()
        with pytest.raises(Overloaded, match="all 1 connections"):
            await one.open()
        one.release(held)

        assert one.take_idle() is held
        one.release(held)


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_happens_the_bound_holds_and_every_place_comes_back(seed):
    chance = random.Random(seed)
    async with pool(3) as one:
        held, waiting = [], []
        for _ in range(300):
            waiting = [
                t
                for t in waiting
                if not (t.done() and (t.cancelled() or held.append(t.result()) is None))
            ]
            match chance.randrange(4):
                case 0 | 1:
                    idle = one.take_idle()
                    held.append(idle) if idle is not None else waiting.append(opening(one))
                case 2 if held:
                    conn = held.pop(chance.randrange(len(held)))
                    if chance.random() < 0.3:
                        conn.abort()
                    one.release(conn)
                case 3 if waiting:
                    chance.choice(waiting).cancel()
            if chance.random() < 0.5:
                await asyncio.sleep(0)
            assert one.in_flight <= 3
        for task in waiting:
            task.cancel()
        for conn in [
            *held,
            *[
                r
                for r in await asyncio.gather(*waiting, return_exceptions=True)
                if isinstance(r, Connection)
            ],
        ]:
            one.release(conn)
        all_of_them = [one.take_idle() or await asyncio.wait_for(one.open(), 4.0) for _ in range(3)]

        assert one.in_flight == 3 == len(set(all_of_them))
        for conn in all_of_them:
            one.release(conn)
