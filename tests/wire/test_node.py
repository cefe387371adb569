"""Clients of Node against the running program: the official one, and the AI SDK.

They need Node and their packages under .e2e/node, which `tests/e2e/setup_node.sh`
puts there; without them the tests are skipped, and say so.
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
CACHED = {
    "routes": '  - {name: c, match: {model: "*"}, targets: [{upstream: main}], cache: answers}',
    "more": "cache: {answers: {}}",
}


def needs(package):
    is_there = shutil.which("node") is not None and (NODE / "node_modules" / package).exists()
    return pytest.mark.skipif(not is_there, reason="no Node, or run tests/e2e/setup_node.sh first")


async def steps_of(script, tmp_path, **settings):
    """What ``script`` said of its steps."""
    shutil.copy(ROOT / "tests/e2e/node" / script, NODE / script)
    mock, port = await start_mock("127.0.0.1", 0)
    async with program(tmp_path, port, first="5s", idle="5s", rest="mock", **settings) as running:
        process = await asyncio.create_subprocess_exec(
            "node", script, running.url, KEY, "mock", cwd=NODE, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await asyncio.wait_for(process.communicate(), 50)
    await mock.cleanup()
    return [json.loads(line) for line in out.splitlines()]


@needs("openai")
async def test_the_node_client_is_served(tmp_path):
    steps = await steps_of("client.mjs", tmp_path)

    assert [s for s in steps if not s["ok"]] == []
    assert len(steps) == 7


@needs("ai")
async def test_the_ai_sdk_makes_the_same_of_hits(tmp_path):
    steps = await steps_of("ai_sdk.mjs", tmp_path, **CACHED)

    assert [s for s in steps if not s["ok"]] == []
    assert len(steps) == 15
