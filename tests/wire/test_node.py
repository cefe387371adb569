"""The official Node client against the running program.

Needs Node and its `openai` package under .e2e/node, which `tests/e2e/setup_node.sh`
puts there; without them the test is skipped, and says so.
"""

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from proxy.mock import start_mock
from tests.program import KEY, program

ROOT = Path(__file__).parents[2]
NODE = ROOT / ".e2e" / "node"
IS_THERE = shutil.which("node") is not None and (NODE / "node_modules" / "openai").exists()


@pytest.mark.skipif(not IS_THERE, reason="no Node, or run tests/e2e/setup_node.sh first")
async def test_the_node_client_is_served(tmp_path):
    shutil.copy(ROOT / "tests/e2e/node/client.mjs", NODE / "client.mjs")
    mock, port = await start_mock("127.0.0.1", 0)
    async with program(tmp_path, port, first="5s", idle="5s", rest="mock") as running:
        process = await asyncio.create_subprocess_exec(
            "node", "client.mjs", running.url, KEY, "mock", cwd=NODE, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await asyncio.wait_for(process.communicate(), 50)
    await mock.cleanup()

    steps = [json.loads(line) for line in out.splitlines()]
    assert [s for s in steps if not s["ok"]] == []
    assert len(steps) == 7
