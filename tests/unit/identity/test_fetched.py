"""Keys behind a URL: when they are asked for, and what happens if they do not come."""

import asyncio
import logging
from collections import Counter

import pytest
from aiohttp import web

from proxy.identity.fetched import (
    ASK_S,
    MAX_BYTES,
    RETRY_S,
    CannotFetch,
    Document,
    FetchedKeys,
    Keyring,
    download,
    freshness,
)
from proxy.identity.keys import NO_KEYS, BadKeys
from tests.kit import FakeClock
from tests.provider import jwks, public_jwk

OLD, NEW = jwks(public_jwk("RSA", "old")), jwks(public_jwk("RSA", "new", 1))


class Site:
    """Gives what it was told; holds each answer until ``go`` is set."""

    def __init__(self, *answers, fresh_s=600.0):
        self.answers, self.fresh_s = list(answers), fresh_s
        self.asked = 0
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self, url):
        self.asked += 1
        await self.go.wait()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return Document(answer, self.fresh_s)


class Counts(Counter):
    def __call__(self, name, text):
        self[name] += 1


def fetched(site, clock=None, counts=None):
    return FetchedKeys(
        "https://idp.example.com/jwks",
        clock or FakeClock(),
        Counts() if counts is None else counts,
        site,
    )


async def idle(keys):
    """Let a fetch that goes on come to its end."""
    while keys._task is not None:
        await asyncio.sleep(0)


async def test_keys_are_fetched_at_start_and_again_when_no_longer_fresh():
    clock, site = FakeClock(), Site(OLD, NEW)
    keys = fetched(site, clock)
    assert keys.keys is NO_KEYS

    keys.sweep()
    await idle(keys)
    assert keys.keys.has("old")
    clock.advance(599)
    keys.sweep()
    await idle(keys)
    assert site.asked == 1
    clock.advance(1)
    keys.sweep()
    keys.sweep()
    await idle(keys)

    assert site.asked == 2
    assert keys.keys.has("new")
    assert not keys.keys.has("old")


async def test_the_same_document_leaves_the_same_keys():
    clock = FakeClock()
    keys = fetched(Site(OLD), clock)
    keys.sweep()
    await idle(keys)
    first = keys.keys
    clock.advance(600)
    keys.sweep()
    await idle(keys)

    assert keys.keys is first


@pytest.mark.parametrize("failure", [CannotFetch("it answered 500"), b"<html>", b'{"keys": []}'])
async def test_a_refresh_that_fails_leaves_the_old_keys_and_says_so_once(failure, caplog):
    clock, counts = FakeClock(), Counts()
    keys = fetched(Site(OLD, failure, failure, NEW), clock, counts)
    with caplog.at_level(logging.INFO):
        for wait in (0, 600, RETRY_S):
            clock.advance(wait)
            keys.sweep()
            await idle(keys)
        assert keys.keys.has("old")
        assert [r.levelname for r in caplog.records] == ["WARNING"]
        assert "the old keys stay in force" in caplog.text
        clock.advance(RETRY_S)
        keys.sweep()
        await idle(keys)

    assert keys.keys.has("new")
    assert [r.levelname for r in caplog.records] == ["WARNING", "INFO"]
    assert counts == {"sidestream_jwks_fetches": 2, "sidestream_jwks_fetch_failures": 2}


async def test_many_who_wait_make_one_fetch():
    site = Site(OLD)
    site.go.clear()
    keys = fetched(site)
    waiting = [asyncio.create_task(keys.refresh()) for _ in range(50)]
    await asyncio.sleep(0)
    keys.sweep()
    waiting[0].cancel()
    await asyncio.sleep(0)
    site.go.set()
    await asyncio.gather(*waiting[1:])

    assert site.asked == 1
    assert keys.keys.has("old")


async def test_strangers_do_not_choose_how_often_the_provider_is_asked():
    clock, site = FakeClock(), Site(OLD)
    keys = fetched(site, clock)
    for _ in range(100):
        await keys.refresh()
    assert site.asked == 1
    clock.advance(ASK_S - 1)
    await keys.refresh()
    assert site.asked == 1
    clock.advance(1)
    await keys.refresh()

    assert site.asked == 2


async def test_whoever_waits_does_not_wait_for_ever(monkeypatch):
    monkeypatch.setattr("proxy.identity.fetched.WAIT_S", 0.01)
    site = Site(OLD)
    site.go.clear()
    keys = fetched(site)

    await asyncio.wait_for(keys.refresh(), 5)
    assert keys.keys is NO_KEYS
    site.go.set()
    await idle(keys)

    assert keys.keys.has("old")


async def test_a_fetch_that_goes_on_ends_with_the_process():
    site = Site(OLD)
    site.go.clear()
    keys = fetched(site)
    keys.sweep()
    await asyncio.sleep(0)
    task = keys._task
    keys.close()
    await asyncio.wait({task})

    assert task.cancelled()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", 600),
        ("public, max-age=900", 900),
        ("max-age=0, must-revalidate", 60),
        ("max-age=99999999", 86400),
        ("Max-Age = 120", 120),
        ('max-age="300"', 300),
        ("s-maxage=5", 600),
        ("x-max-age=5", 600),
        ("no-store", 600),
        ("max-age=", 600),
        ("max-age=-1", 600),
    ],
)
def test_freshness_is_what_the_provider_says_within_bounds(header, seconds):
    assert freshness(header) == seconds


def test_a_keyring_keeps_what_was_fetched_over_a_reload():
    ring = Keyring(FakeClock(), Counts())
    first = ring.source("", "https://a/jwks")
    ring.adopt()

    assert ring.source("", "https://a/jwks") is first
    assert ring.source("", "https://b/jwks") is not first
    assert ring.source("", "https://a/jwks") is first
    assert ring.source(OLD.decode(), "").keys.has("old")
    assert ring.source("", "").keys is NO_KEYS
    with pytest.raises(BadKeys):
        ring.source("{}", "")


def test_keys_in_force_stay_until_others_are_adopted():
    """A reload may be refused after it has asked for its keys."""
    counts = Counts()
    ring = Keyring(FakeClock(), counts)
    first = ring.source("", "https://a/jwks")
    ring.adopt()
    swept = []
    first.sweep = lambda: swept.append("first")
    ring.source("", "https://b/jwks")
    ring.sweep()
    ring.source("", "")
    ring.sweep()
    ring.adopt()
    ring.sweep()

    assert swept == ["first", "first"]


class Provider:
    """A web server on loopback."""

    def __init__(self, handler):
        self._handler = handler

    async def __aenter__(self):
        application = web.Application()
        application.router.add_get("/jwks", self._handler)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/jwks"
        return self

    async def __aexit__(self, *exc):
        await self._runner.cleanup()


async def test_a_document_is_fetched_with_its_freshness():
    async def handler(_):
        return web.Response(body=OLD, headers={"Cache-Control": "max-age=900"})

    async with Provider(handler) as site:
        assert await download(site.url) == Document(OLD, 900)


async def test_what_is_no_document_is_refused():
    answers = iter([
        web.Response(status=404),
        web.Response(status=302, headers={"Location": "/jwks"}),
        web.Response(body=b" " * (MAX_BYTES + 1)),
        web.Response(body=b"no gzip" * 9, headers={"Content-Encoding": "gzip"}),
    ])  # fmt: skip
    asked = []

    async def handler(_):
        asked.append(1)
        return next(answers)

    async with Provider(handler) as site:
        for why in ("404", "302", "256 KiB", "Error"):
            with pytest.raises(CannotFetch, match=why):
                await download(site.url)
        assert len(asked) == 4
    with pytest.raises(CannotFetch):
        await download(site.url)
