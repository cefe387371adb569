"""Several servers, of which each says where others are, rightly or not."""

import asyncio

import hiredis
import pytest
from redis.crc import key_slot

from proxy.stores import cluster as cluster_module
from proxy.stores.address import Address
from proxy.stores.cluster import MAX_HOPS, Cluster
from proxy.stores.discovery import single
from proxy.stores.link import Link
from proxy.stores.pipe import StoreDown
from proxy.stores.scripts import load_scripts
from tests.redis.conftest import until

SCRIPTS = load_scripts()
SEED = Address("cluster", (("seed", 1),), password="pw")
KEY = b"ss:{t.acme}:l"
SLOT = key_slot(KEY)
ONE, TWO = ("one", 1), ("two", 2)


class Server:
    """A link that answers at once with what is next in ``replies``."""

    def __init__(self, address):
        self.address = address
        self.is_up = True
        self.is_closed = False
        self.replies = []
        self.runs = []
        self.told = []

    def start(self):
        pass

    def on_up(self, told):
        self.told.append(told)

    def run(self, script, key, args, done, how="run"):
        self.runs.append(how)
        done(self.replies.pop(0) if self.replies else b"OK")

    def ask(self, script, key, args, done):
        self.run(script, key, args, done, "ask")

    async def call(self, key, *words):
        return words

    async def close(self):
        self.is_closed = True


class Several:
    """A cluster and its servers; ``maps`` are those that are fetched, an error raised."""

    def __init__(self, *maps):
        self.maps = list(maps)
        self.servers = {}
        self.fetched = 0
        self.cluster = Cluster(SEED, self.fetch, self.make)

    async def fetch(self):
        self.fetched += 1
        found = self.maps.pop(0) if len(self.maps) > 1 else self.maps[0]
        if isinstance(found, Exception):
            raise found
        return found

    def make(self, address):
        made = self.servers[address.hosts[0]] = Server(address)
        return made

    def run(self):
        """What becomes of a call, which these servers answer at once."""
        replies = []
        self.cluster.run(SCRIPTS.settle, KEY, (), replies.append)
        assert len(replies) == 1
        return replies[0]


@pytest.fixture
async def several(monkeypatch):
    monkeypatch.setattr(cluster_module, "RETRY_S", 0.0)
    made = []

    async def make(*maps):
        one = Several(*maps)
        one.cluster.start()
        made.append(one)
        await until(lambda: one.fetched)
        return one

    yield make
    for one in made:
        await one.cluster.close()
        assert all(server.is_closed for server in one.servers.values())


def moved(to, kind="MOVED"):
    return hiredis.ReplyError(f"{kind} {SLOT} {to}")


async def test_a_call_follows_its_slot_and_the_next_goes_there_at_once(several):
    one = await several({SLOT: ONE})
    one.servers[ONE].replies = [moved("two:2")]

    assert (one.run(), one.run()) == (b"OK", b"OK")
    assert (one.servers[ONE].runs, one.servers[TWO].runs) == (["run"], ["run", "run"])
    assert one.servers[TWO].address.password == "pw"


async def test_a_slot_on_its_way_is_asked_for_there_this_once(several):
    one = await several({SLOT: ONE, SLOT + 1: TWO})
    one.servers[ONE].replies = [moved("two:2", "ASK")]

    assert (one.run(), one.run()) == (b"OK", b"OK")
    assert (one.servers[ONE].runs, one.servers[TWO].runs) == (["run", "run"], ["ask"])


async def test_a_server_that_gives_no_host_means_the_one_that_is_known(several):
    one = await several({SLOT: ONE})
    one.servers[ONE].replies = [moved(":7")]

    assert one.run() == b"OK"
    assert one.servers["seed", 7].runs == ["run"]


async def test_servers_that_send_a_call_in_circles_are_taken_for_down(several):
    one = await several({SLOT: ONE, SLOT + 1: TWO})
    one.servers[ONE].replies = [moved("two:2")] * 9
    one.servers[TWO].replies = [moved("one:1")] * 9

    assert isinstance(one.run(), StoreDown)
    assert len(one.servers[ONE].runs + one.servers[TWO].runs) == 1 + MAX_HOPS


@pytest.mark.parametrize(
    "said", ["MOVED 5", "MOVED x one:1", "MOVED 5 one", "ASK 5 one:x", "MOVED 1 2 3", "TRYAGAIN no"]
)
async def test_a_redirection_to_nowhere_is_an_outage_that_whoever_asked_hears_of(several, said):
    one = await several({SLOT: ONE})
    one.servers[ONE].replies = [hiredis.ReplyError(said)]

    assert isinstance(one.run(), StoreDown)


async def test_an_error_of_the_call_itself_is_its_reply(several):
    one = await several({SLOT: ONE})
    one.servers[ONE].replies = [hiredis.ReplyError("ERR no")]

    assert str(one.run()) == "ERR no"


async def test_a_slot_that_nobody_holds_is_down_and_the_map_is_asked_for(several):
    one = await several({SLOT + 1: TWO}, {SLOT: ONE})

    assert isinstance(one.run(), StoreDown)
    with pytest.raises(StoreDown):
        await one.cluster.call(KEY, "GET", KEY)
    await until(lambda: one.fetched == 2)
    assert one.run() == b"OK"
    assert await one.cluster.call(KEY, "GET", KEY) == ("GET", KEY)


async def test_a_map_that_cannot_be_had_or_is_empty_changes_nothing(several):
    one = await several({SLOT: ONE}, StoreDown("no"), {}, {SLOT: TWO})
    for _ in range(3):
        one.cluster._stirred.set()
        await asyncio.sleep(0)
        if TWO not in one.servers:
            assert one.run() == b"OK"
    one.servers[ONE].is_up = False
    one.run()
    await until(lambda: TWO in one.servers)


async def test_a_server_that_holds_nothing_any_more_is_let_go(several):
    one = await several({SLOT: ONE}, {SLOT: TWO})
    one.servers[ONE].is_up = False
    one.run()
    await until(lambda: one.servers[ONE].is_closed)

    assert one.cluster.is_up


async def test_who_wants_to_know_is_told_by_every_server_that_joins():
    one = Several({SLOT: ONE, SLOT + 1: TWO})
    told = []
    one.cluster.on_up(lambda: told.append("up"))
    one.cluster.start()
    await until(lambda: len(one.servers) == 2)
    for server in one.servers.values():
        for tell in server.told:
            tell()
    await one.cluster.close()

    assert told == ["up", "up"]


async def test_closing_while_a_server_is_let_go_ends(monkeypatch):
    """The cancelled wait for that server must not be taken for the server's own end."""
    monkeypatch.setattr(cluster_module, "RETRY_S", 0.0)
    leaving, release = asyncio.Event(), asyncio.Event()

    async def slow():
        try:
            await asyncio.Event().wait()
        finally:
            leaving.set()
            await release.wait()

    def make(address):
        where = slow if address.hosts[0] == ONE else single(address)
        return Link(where, SCRIPTS, lambda: 0.0)

    maps = [{SLOT: ONE}, {SLOT: ("127.0.0.1", 1)}]

    async def fetch():
        return maps.pop(0) if len(maps) > 1 else maps[0]

    cluster = Cluster(SEED, fetch, make)
    cluster.start()
    await until(lambda: len(maps) == 1)
    cluster.run(SCRIPTS.settle, KEY, (), lambda _: None)
    await leaving.wait()
    closing = asyncio.create_task(cluster.close())
    await asyncio.sleep(0)
    release.set()
    done, _ = await asyncio.wait({closing}, timeout=5)

    assert done == {closing}
