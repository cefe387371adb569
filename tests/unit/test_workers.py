"""The one that looks after several workers."""

import asyncio
import sys

import pytest

from proxy.workers import Supervisor

SLEEP = "import signal; signal.sigwait([signal.SIGUSR1])"


@pytest.fixture
def supervisor(tmp_path, monkeypatch):
    """One that is told to leave while its first worker is being started."""
    really = asyncio.create_subprocess_exec
    made = Supervisor(1, lambda _i, _path: [sys.executable, "-c", SLEEP], tmp_path)

    async def exec_(*arguments, **more):
        process = await really(*arguments, **more)
        made._stop()
        return process

    monkeypatch.setattr("asyncio.create_subprocess_exec", exec_)
    return made


async def test_who_is_told_to_leave_while_a_worker_starts_ends_that_one_too(supervisor):
    async with asyncio.timeout(10):
        assert await supervisor.run("127.0.0.1", 0) == 0

    assert [process.returncode for process in supervisor._processes.values()] == [-15]
