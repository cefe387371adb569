"""One connection to a server that says what no server should."""

import asyncio
import logging

import pytest

from proxy.stores import link as link_module
from proxy.stores.address import Address, parse_address
from proxy.stores.discovery import single
from proxy.stores.link import Link
from proxy.stores.pipe import StoreDown, Unanswered
from proxy.stores.scripts import load_scripts
from tests.redis.conftest import until
from tests.unit.stores.serving import Talker

SCRIPTS = load_scripts()
HANDSHAKE = (b"AUTH", b"SELECT", b"SCRIPT", b"ROLE")
MASTER = b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"


def at(talker, **more):
    return Address("single", (("127.0.0.1", talker.port),), **more)


@pytest.fixture
async def linked():
    """Makes links and closes them."""
    made = []

    async def make(where, *, is_ready=True, **more):
        locate = single(where) if isinstance(where, Address) else where
        link = Link(locate, SCRIPTS, lambda: 0.0, timeout_s=5.0, **more)
        link.start()
        made.append(link)
        if is_ready:
            await until(lambda: link.is_up)
        return link

    yield make
    for link in made:
        await link.close()


async def run(link):
    """What becomes of one script call."""
    future = asyncio.get_running_loop().create_future()
    link.run(SCRIPTS.settle, b"key", ("a",), future.set_result)
    return await asyncio.wait_for(future, 10.0)


def after_handshake(reply):
    """Greets as a server does; all else gets ``reply``."""
    return lambda words: b"+OK\r\n" if words[0] in HANDSHAKE else reply


async def test_a_login_and_a_database_come_before_the_scripts(linked):
    async with Talker() as talker:
        await linked(at(talker, username="me", password="pw", db=3))

        assert talker.said[:2] == [[b"AUTH", b"me", b"pw"], [b"SELECT", b"3"]]
        assert [words[2] for words in talker.said[2:]] == [script.text for script in SCRIPTS]


async def test_a_password_without_a_user_is_sent_alone(linked):
    async with Talker() as talker:
        await linked(at(talker, password="pw"))

        assert talker.told(b"AUTH") == [[b"AUTH", b"pw"]]


async def test_a_wrong_password_is_tried_again_and_told_once_without_itself(linked, caplog):
    def answer(words):
        return b"-WRONGPASS no\r\n" if words[0] == b"AUTH" else b"+OK\r\n"

    async with Talker(answer) as talker:
        with caplog.at_level(logging.WARNING):
            link = await linked(at(talker, password="hidden"), is_ready=False)
            await until(lambda: talker.connections >= 3)

        assert not link.is_up
        assert len(caplog.messages) == 1
        assert "WRONGPASS" in caplog.text
        assert "hidden" not in caplog.text


@pytest.mark.parametrize("host", ["a..b", "x" * 300])
async def test_a_name_that_is_none_does_not_end_the_trying(linked, host):
    """The resolver raises no OSError for it, and nobody would ever try again."""
    async with Talker() as talker:
        where = [at(talker), Address("single", ((host, 1),))]

        async def locate():
            return where.pop() if len(where) > 1 else where[0]

        link = await linked(locate)

        assert link.is_up


async def test_a_port_that_is_none_does_not_end_the_trying(linked):
    async with Talker() as talker:
        where = [at(talker), Address("single", (("127.0.0.1", 10**6),))]

        async def locate():
            return where.pop() if len(where) > 1 else where[0]

        assert (await linked(locate)).is_up


async def test_a_server_that_talks_nonsense_is_left_and_tried_again(linked):
    said = [b"HTTP/1.1 400 Bad Request\r\n\r\n"]

    def answer(_):
        return said.pop() if said else b"+OK\r\n"

    async with Talker(answer) as talker:
        link = await linked(at(talker))

        assert talker.connections == 2
        assert await run(link) == b"OK"


async def test_nonsense_in_the_place_of_a_reply_is_an_outage_and_nobody_waits(linked):
    async with Talker(after_handshake(b"\x00\x01nonsense\r\n")) as talker:
        link = await linked(at(talker))

        assert isinstance(await run(link), Unanswered)
        await until(lambda: talker.connections == 2)


async def test_a_server_that_answers_but_does_not_serve_is_left(linked):
    async with Talker(after_handshake(b"-READONLY You can't write\r\n")) as talker:
        link = await linked(at(talker))
        reply = await run(link)

        # It was refused, so it has not been carried out: no Unanswered.
        assert type(reply) is StoreDown
        assert not link.is_up
        await until(lambda: talker.connections == 2)


async def test_an_error_of_the_call_itself_is_its_reply_and_no_outage(linked):
    async with Talker(after_handshake(b"-ERR wrong number\r\n")) as talker:
        link = await linked(at(talker))

        assert str(await run(link)) == "ERR wrong number"
        assert link.is_up


async def test_a_script_that_the_server_forgot_is_sent_whole(linked):
    def answer(words):
        return b"-NOSCRIPT none\r\n" if words[0] == b"EVALSHA" else b":7\r\n"

    async with Talker(answer) as talker:
        link = await linked(at(talker))

        assert await run(link) == 7
        assert talker.told(b"EVAL") == [[b"EVAL", SCRIPTS.settle.text, b"1", b"key", b"a"]]


async def test_a_script_forgotten_by_a_server_that_has_gone_since_was_never_run(linked):
    async with Talker() as talker:
        link = await linked(at(talker))
        link.fail("gone")
        replies = []
        link.resend(SCRIPTS.settle, b"key", (), replies.append)
        link.run(SCRIPTS.settle, b"key", (), replies.append)
        link.ask(SCRIPTS.settle, b"key", (), replies.append)

        assert [type(reply) for reply in replies] == [StoreDown] * 3
        with pytest.raises(StoreDown):
            await link.call(b"key", "GET", b"key")


async def test_a_call_is_lost_with_its_connection_and_may_have_been_carried_out(linked):
    async with Talker(after_handshake(ConnectionError)) as talker:
        link = await linked(at(talker))

        assert isinstance(await run(link), Unanswered)


async def test_an_error_reply_to_a_plain_command_is_raised(linked):
    async with Talker(after_handshake(b"-WRONGTYPE no\r\n")) as talker:
        link = await linked(at(talker))

        with pytest.raises(StoreDown, match="WRONGTYPE"):
            await link.call(b"key", "GET", b"key")


async def test_whoever_waits_is_told_each_time_the_server_is_back(linked):
    async with Talker() as talker:
        ups = []
        link = await linked(at(talker), is_ready=False)
        link.on_up(lambda: ups.append(talker.connections))
        await until(lambda: ups == [1])
        talker.drop()
        await until(lambda: ups == [1, 2])


async def test_a_socket_of_the_system_is_connected_to_by_its_path(linked, tmp_path):
    async with Talker() as talker:
        path = str(tmp_path / "s")
        server = await asyncio.start_unix_server(talker._serve, path)
        link = await linked(parse_address(f"unix://{path}"))

        assert await run(link) == b"OK"
        server.close()


@pytest.mark.parametrize("role", [b"*1\r\n$5\r\nslave\r\n", b"+master\r\n", b"*0\r\n", b":1\r\n"])
async def test_a_server_that_is_not_the_master_is_not_used(linked, role):
    roles = [MASTER, role]

    def answer(words):
        if words[0] == b"ROLE":
            return roles.pop() if len(roles) > 1 else roles[0]
        return b"+OK\r\n"

    async with Talker(answer) as talker:
        await linked(at(talker), recheck_s=60.0)

        assert talker.connections == 2


async def test_the_new_master_is_moved_to_and_an_odd_answer_moves_nobody(linked, monkeypatch):
    monkeypatch.setattr(link_module, "WATCH_S", 0.0)

    def answer(words):
        return MASTER if words[0] == b"ROLE" else b"+OK\r\n"

    async with Talker(answer) as old, Talker(answer) as new:
        where = [at(old), StoreDown("no sentinel"), OSError("no way"), at(old), at(new)]
        asked = []

        async def locate():
            found = where.pop(0) if len(where) > 1 else where[0]
            asked.append(found)
            if isinstance(found, Exception):
                raise found
            return found

        link = await linked(locate, recheck_s=1e-9)
        await until(lambda: link.address == at(new) and link.is_up)

        assert (old.connections, new.connections) == (1, 1)
        assert len(asked) >= 5


async def test_an_idle_connection_is_pinged(linked, monkeypatch):
    monkeypatch.setattr(link_module, "WATCH_S", 0.0)
    monkeypatch.setattr(link_module, "PING_S", 0.0)
    async with Talker() as talker:
        link = await linked(at(talker))
        await until(lambda: len(talker.told(b"PING")) >= 2)

        assert link.is_up


async def test_a_server_that_is_behind_for_too_long_is_left(linked, monkeypatch):
    monkeypatch.setattr(link_module, "WATCH_S", 0.0)
    monkeypatch.setattr(link_module, "DEAD_S", 0.0)
    async with Talker(after_handshake(None)) as talker:
        link = Link(single(at(talker)), SCRIPTS, lambda: 0.0, timeout_s=0.001)
        link.start()
        await until(lambda: link.is_up)

        assert isinstance(await run(link), Unanswered)
        await until(lambda: talker.connections == 2)
        await link.close()


async def test_closing_is_no_outage(linked, caplog):
    async with Talker() as talker:
        with caplog.at_level(logging.WARNING):
            link = await linked(at(talker))
            await link.close()

        assert caplog.messages == []
        assert not link.is_up
