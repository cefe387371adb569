"""What fails is logged without its message, and what comes after it runs."""

import asyncio

import pytest

from proxy.stores.outlived import Outlived, ended


def test_what_failed_is_said_but_not_its_message(caplog):
    message = "hush"
    with Outlived("to try") as step:
        raise ValueError(message)

    assert step.is_failed
    assert "to try failed: ValueError" in caplog.text
    assert "hush" not in caplog.text


def test_what_went_well_is_not_mentioned(caplog):
    with Outlived("to try") as step:
        pass

    assert not step.is_failed
    assert not caplog.text


def test_being_cancelled_is_no_failure():
    with pytest.raises(asyncio.CancelledError), Outlived("to try"):
        raise asyncio.CancelledError


async def test_a_task_that_swallows_being_cancelled_is_ended_all_the_same():
    async def stubborn():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.Event().wait()

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await ended(task)

    assert task.cancelled()


async def test_a_task_that_has_failed_is_ended_without_its_failure():
    async def fails():
        raise ValueError

    task = asyncio.create_task(fails())
    await asyncio.sleep(0)
    await ended(task)

    assert task.done()
