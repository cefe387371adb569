"""Alerts on their way to a webhook that takes them, refuses them, or is not there."""

import asyncio
import logging
from collections import Counter

import aiohttp
import pytest

from proxy.core.alert import Alert
from proxy.edge.webhook import A_MINUTE, MAX_WAITING, TRIES, Webhook
from tests.kit import FakeClock
from tests.scripted import Scripted, says, then

SECRET = "hook-secret"


def alert(tenant="acme", text="spent"):
    facts = {"scope": "tenant", "budget": "b", "usd": 1.0}
    return Alert("budget_spent", tenant, text, facts)


def status(code, *headers):
    lines = [f"HTTP/1.1 {code} X", "Content-Length: 0", *headers, "", ""]
    return says("\r\n".join(lines).encode())


class Told:
    """A webhook and what it counted."""

    def __init__(self, port=0):
        self.clock = FakeClock()
        self.counts = Counter()
        self.hook = Webhook(self.clock, self.add, pause_s=0.0)
        if port:
            self.hook.url = f"http://127.0.0.1:{port}/x?secret={SECRET}"

    def add(self, name, _):
        self.counts[name.removeprefix("sidestream_")] += 1

    async def over(self):
        """Wait until nothing is on its way."""
        await self.hook.close(5.0)
        return self.counts


async def test_without_a_url_an_alert_is_a_line_of_the_log(caplog):
    told = Told()
    with caplog.at_level(logging.WARNING):
        told.hook.tell(alert())

    assert await told.over() == {"alerts": 1}
    assert caplog.messages == ["budget_spent: spent"]


async def test_alerts_arrive_in_the_order_in_which_they_were_told():
    async with Scripted([status(204)]) as up:
        told = Told(up.port)
        for number in range(5):
            told.hook.tell(alert(text=str(number)))

        assert await told.over() == {"alerts": 5}
        assert [r.json["text"] for r in up.requests] == list("01234")
        assert up.requests[0].json["usd"] == 1.0


async def test_of_one_tenant_in_one_minute_only_so_many_are_told(caplog):
    async with Scripted([status(200)]) as up:
        told = Told(up.port)
        with caplog.at_level(logging.WARNING):
            for _ in range(A_MINUTE + 3):
                told.hook.tell(alert("loud"))
            told.hook.tell(alert("quiet"))
            told.clock.advance(60)
            told.hook.tell(alert("loud"))

        assert await told.over() == {"alerts": A_MINUTE + 5, "alerts_dropped": 3}
        tenants = Counter(r.json["tenant"] for r in up.requests)
        assert tenants == {"loud": A_MINUTE + 1, "quiet": 1}
        assert sum("only counted" in line for line in caplog.messages) == 1


async def test_what_the_queue_cannot_hold_is_dropped_and_counted():
    told = Told(port=1)
    for number in range(MAX_WAITING + 2):
        told.hook.tell(alert(f"t{number}"))

    assert told.counts == {"alerts": MAX_WAITING + 2, "alerts_dropped": 2}
    await told.hook.close(0.0)


@pytest.mark.parametrize(
    ("script", "tries"),
    [
        (status(500), TRIES),
        (status(429), TRIES),
        (status(408), TRIES),
        (status(400), 1),
        (status(404), 1),
        (status(302, "Location: /elsewhere"), TRIES),
        (then(end="reset"), TRIES),
    ],
)
async def test_one_that_is_not_taken_is_tried_as_often_as_that_may_help(caplog, script, tries):
    async with Scripted([script]) as up:
        told = Told(up.port)
        told.hook.tell(alert())

        assert await told.over() == {"alerts": 1, "alerts_dropped": 1}
        assert len(up.requests) == tries
        assert up.requests[-1].line.startswith("POST /x?")
        assert "took nothing" in caplog.text
        assert SECRET not in caplog.text


async def test_one_that_is_taken_at_last_is_not_lost():
    async with Scripted([status(500), then(end="reset"), status(200)]) as up:
        told = Told(up.port)
        told.hook.tell(alert())

        assert await told.over() == {"alerts": 1}
        assert len(up.requests) == 3


async def test_an_alert_told_while_the_last_session_closes_is_sent_too(monkeypatch):
    """It would lie there until the next alert, which may be days away."""
    async with Scripted([status(200)]) as up:
        told = Told(up.port)
        later = [alert(text="late")]
        close = aiohttp.ClientSession.close

        async def closing(session):
            await close(session)
            while later:
                told.hook.tell(later.pop())

        monkeypatch.setattr(aiohttp.ClientSession, "close", closing)
        told.hook.tell(alert(text="first"))

        assert await told.over() == {"alerts": 2}
        assert [r.json["text"] for r in up.requests] == ["first", "late"]


async def test_the_end_waits_for_a_webhook_that_says_nothing_no_longer_than_it_may():
    async with Scripted([then(end="hang")]) as up:
        told = Told(up.port)
        told.hook.tell(alert())
        while not up.requests:
            await asyncio.sleep(0)

        await told.hook.close(0.0)
        await up.peer_left.wait()
