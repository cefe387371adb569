"""The cache on a cluster, and of several workers."""

import pytest

from tests.ports import free_port
from tests.program import DIGEST, ask, request
from tests.redis.conftest import until
from tests.redis.test_cache import COLD, MASTER, cached, state
from tests.redis.test_discovery import cluster  # noqa: F401 - a fixture
from tests.scripted import Scripted, json_answer, says
from tests.wire.test_operating import Command


@pytest.mark.timeout(120)
async def test_a_tenants_cache_lives_where_its_slot_is(tmp_path, cluster):  # noqa: F811
    url = f"redis+cluster://127.0.0.1:{cluster[1].port}"
    async with (
        Scripted([says(json_answer())]) as up,
        cached(tmp_path, up.port, url) as one,
        cached(tmp_path, up.port, url) as two,
    ):
        assert state(await ask(one.port, request(body=COLD))) == "miss"
        await until(lambda: sum(len(s.ask("KEYS", "ss:{c.*}:e:*")) for s in cluster) == 1)
        assert state(await ask(two.port, request(body=COLD))) == "hit"
        holders = [s for s in cluster if s.ask("KEYS", "ss:{c.t.acme}:*")]
        api = request("/api/cache/erase?tenant=acme", b"", key="admin-token")
        assert (await ask(two.worker.admin_port, api)).status == 200

        assert len(holders) == 1
        assert state(await ask(two.port, request(body=COLD))) == "miss"


async def test_workers_share_a_cache_and_all_of_them_forget(tmp_path, server):
    data, admin = free_port(), free_port()
    path = tmp_path / "c.yaml"
    async with Scripted([says(json_answer())]) as up:
        path.write_text(f"""\
listen: 127.0.0.1:{data}
admin: {{listen: "127.0.0.1:{admin}", token: t}}
workers: 2
store: {{url: "{server.url}", timeout: 500ms}}
upstreams: {{up: {{kind: generic, base_url: "http://127.0.0.1:{up.port}/v1"}}}}
routes: [{{name: all, targets: [{{upstream: up}}], cache: answers}}]
tenants: {{acme: {{keys: [{{sha256: {DIGEST}}}]}}}}
cache: {{answers: {{encrypt: {MASTER}}}}}
""")
        async with Command("serve", "--config", str(path)) as command:
            await command.until("serving")
            await command.until("serving")
            await ask(data, request(body=COLD))
            await until(lambda: server.ask("KEYS", "ss:{c.*}:e:*"))
            states = {state(await ask(data, request(body=COLD))) for _ in range(40)}
            assert states == {"hit"}
            api = request("/api/cache/erase?tenant=acme", b"", key="t")
            answer = await ask(admin, api)
            assert answer.status == 200
            assert answer.json["workers"] == [{"erased": {"tenant": "acme"}}] * 2
            await ask(data, request(body=COLD))

        assert len(up.requests) == 2
