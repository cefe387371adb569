"""Four processes with fifty clients each at one limit: never over it, and it is used."""

import json
import subprocess
import sys
from pathlib import Path

from tests.redis.crowd import BUDGET, SLOTS, TOKENS

ROOT = Path(__file__).parents[2]
SECONDS = 4.0


def test_a_crowd_never_passes_the_limit_and_uses_nearly_all_of_it(server):
    crowd = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.redis.crowd", server.url, str(seed), str(SECONDS)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        for seed in range(4)
    ]
    most = 0
    while any(process.poll() is None for process in crowd):
        most = max(most, server.ask("ZCARD", "ss:{t.crowd}:s:tenant:slots"))
        for process in crowd:
            try:
                process.wait(0.02)
            except subprocess.TimeoutExpired:
                break
    told = [json.load(process.stdout) for process in crowd]
    for process in crowd:
        process.stdout.close()

    used = sum(sum(one["used"]) for one in told)
    took = max(one["ended"] for one in told) - min(one["began"] for one in told)
    least = min(one["ended"] for one in told) - max(one["began"] for one in told)
    rate = TOKENS.amount / TOKENS.seconds
    rows = server.ask("XLEN", "ss:{t.crowd}:u")
    spent = server.ask("HGET", "ss:{t.crowd}:c:tenant", "budget").split()[0]
    assert [one["uncounted"] + one["lost"] for one in told] == [0] * 4
    assert used <= TOKENS.cap + rate * took
    assert used >= 0.9 * rate * least
    assert 0 < most <= SLOTS.cap
    assert rows == sum(len(one["used"]) for one in told)
    assert int(spent) == used * 1000 <= BUDGET.cap
    assert server.ask("EXISTS", "ss:{t.crowd}:s:tenant:slots") == 0
