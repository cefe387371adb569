"""Keys behind a URL, kept fresh.

Nothing waits for them but a token of a key that is not known yet.  A refresh
that fails leaves the old keys in force: a provider that is down for an hour
must not take us with it.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import aiohttp

from proxy.core.ports import Clock
from proxy.identity.keys import NO_KEYS, BadKeys, HeldKeys, KeySet, KeySource, parse_keys

log = logging.getLogger("sidestream.identity")

MAX_BYTES: Final = 256 * 1024
FETCH_S: Final = 10.0
"""Seconds that a fetch may take in all."""

WAIT_S: Final = 2.0
"""Seconds that a request waits for it."""

RETRY_S: Final = 10.0
"""Seconds from a fetch that failed to the next."""

ASK_S: Final = 30.0
"""Seconds between two fetches for the sake of an unknown key: strangers choose
key ids, and must not choose how often the provider is asked."""

FRESH_S: Final = (60.0, 600.0, 86400.0)
"""Seconds that keys are fresh: at least, by default, at most."""

_MAX_AGE: Final = re.compile(r"(?:^|[\s,])max-age\s*=\s*\"?(\d{1,9})", re.IGNORECASE)

Count = Callable[[str, str], None]
"""Takes the name and the text of a counter, and adds one to it."""


class CannotFetch(Exception):
    """No document came; the message says why, and never what came instead."""


@dataclass(frozen=True, slots=True)
class Document:
    """A JWK set as it came, and for how many seconds it is fresh."""

    body: bytes
    fresh_s: float


Download = Callable[[str], Awaitable[Document]]
"""Gets what is at a URL.  Raises ``CannotFetch``."""


async def download(url: str) -> Document:
    """Get a JWK set.  Redirects are not followed: the URL is what is trusted."""
    timeout = aiohttp.ClientTimeout(total=FETCH_S)
    headers = {"accept": "application/json, application/jwk-set+json"}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
            session.get(url, allow_redirects=False) as answer,
        ):
            if answer.status != 200:
                raise CannotFetch(f"it answered {answer.status}")
            body = b""
            async for piece in answer.content.iter_any():
                body += piece
                if len(body) > MAX_BYTES:
                    raise CannotFetch(f"it is over {MAX_BYTES >> 10} KiB")
            return Document(body, freshness(answer.headers.get("cache-control", "")))
    except TimeoutError as exc:
        raise CannotFetch(f"it did not come within {FETCH_S:.0f} s") from exc
    except (aiohttp.ClientError, OSError, ValueError) as exc:
        raise CannotFetch(type(exc).__name__) from exc


def freshness(cache_control: str) -> float:
    """Seconds that a document is fresh, within our bounds."""
    least, default, most = FRESH_S
    found = _MAX_AGE.search(cache_control)
    return min(max(float(found[1]), least), most) if found else default


class FetchedKeys:
    """The keys behind one URL.  ``sweep`` is called a few times a second."""

    def __init__(self, url: str, clock: Clock, count: Count, get: Download = download) -> None:
        self.url = url
        self.keys: KeySet = NO_KEYS
        self._clock = clock
        self._count = count
        self._get = get
        self._body = b""
        self._task: asyncio.Task[None] | None = None
        self._due = self._may_ask = clock.now()
        self._is_failing = False

    def sweep(self) -> None:
        """Begin a fetch if the keys are not fresh any more."""
        if self._task is None and self._clock.now() >= self._due:
            self._start()

    async def refresh(self) -> None:
        """Join the fetch that goes on or begin one; wait for it a little."""
        task = self._task
        if task is None:
            now = self._clock.now()
            if now < self._may_ask:
                return
            self._may_ask = now + ASK_S
            task = self._start()
        # Not cancelled by whoever waits: others wait for the same one.
        await asyncio.wait({task}, timeout=WAIT_S)

    def _start(self) -> asyncio.Task[None]:
        self._task = task = asyncio.get_running_loop().create_task(self._fetch())
        return task

    async def _fetch(self) -> None:
        try:
            document = await self._get(self.url)
            if document.body != self._body:
                self.keys = parse_keys(document.body)
                self._body = document.body
        except (CannotFetch, BadKeys) as exc:
            self._failed(str(exc))
        else:
            self._due = self._clock.now() + document.fresh_s
            self._count("sidestream_jwks_fetches", "Key sets fetched from the identity provider")
            if self._is_failing:
                log.info("jwks: fetched again")
            self._is_failing = False
        finally:
            self._task = None

    def _failed(self, why: str) -> None:
        self._due = self._clock.now() + RETRY_S
        self._count("sidestream_jwks_fetch_failures", "Key sets that could not be fetched")
        if not self._is_failing:
            kept = "the old keys stay in force" if self.keys else "tokens are refused until it is"
            log.warning("jwks: not fetched, %s: %s", kept, why)
        self._is_failing = True

    def close(self) -> None:
        """Let go of a fetch that goes on."""
        if self._task is not None:
            self._task.cancel()


class Keyring:
    """The source of keys in force; what was fetched outlives a reload."""

    def __init__(self, clock: Clock, count: Count) -> None:
        self._clock = clock
        self._count = count
        self._fetched: FetchedKeys | None = None
        self._next: FetchedKeys | None = None

    def source(self, document: str, url: str) -> KeySource:
        """Keys of a URL, or of the document that a file held, if it held one.

        What is in force changes with ``adopt``.  Raises ``BadKeys``.
        """
        if not url:
            held = parse_keys(document) if document else NO_KEYS
            self._next = None
            return HeldKeys(held)
        if self._fetched is not None and self._fetched.url == url:
            self._next = self._fetched
        else:
            self._next = FetchedKeys(url, self._clock, self._count)
        return self._next

    def adopt(self) -> None:
        """Fetch from now on what was asked for last."""
        if self._next is not self._fetched:
            self.close()
            self._fetched = self._next

    def sweep(self) -> None:
        """Fetch what is due."""
        if self._fetched is not None:
            self._fetched.sweep()

    def close(self) -> None:
        """Fetch nothing more."""
        if self._fetched is not None:
            self._fetched.close()
            self._fetched = None
