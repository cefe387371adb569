"""Asks judges over HTTP: all at once, each within its time, each at its risk.

Whatever goes wrong is a verdict with a failure; what follows from that is
the guard's ``on_error`` and is decided elsewhere.  A judge that failed several
times in a row is left alone for a while, so that requests do not each wait for
its time-out.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import aiohttp
import orjson

from proxy.core.judging import Case, Verdict
from proxy.rules.patience import Patience
from proxy.wire.judging import Form, NoVerdict

MAX_ANSWER: Final = 256 * 1024
"""Bytes of a judge's answer."""

MAX_LATER: Final = 256
"""Verdicts that nobody waits for, at once; more are not asked for."""

LEFT_ALONE: Final = Verdict(failure="left alone after failures")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """One judge: where it is asked, with what headers, and for how long."""

    url: str
    headers: Mapping[str, str]
    form: Form
    timeout_s: float
    tls: ssl.SSLContext | None = None


class Client:
    """The connections to judges; made when first needed, shared by all."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self.later: set[asyncio.Task[None]] = set()

    @property
    def session(self) -> aiohttp.ClientSession:
        """The one session of this process."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=256, limit_per_host=128),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(),
                json_serialize=lambda value: orjson.dumps(value).decode(),
            )
        return self._session

    async def close(self) -> None:
        """Drop what nobody waits for, and all connections."""
        for task in self.later:
            task.cancel()
        await asyncio.gather(*self.later, return_exceptions=True)
        if self._session is not None:
            await self._session.close()


class Panel:
    """The judges of one configuration, by the names of their guards."""

    def __init__(self, seats: Mapping[str, Seat], client: Client, now: Callable[[], float]) -> None:
        self._seats = seats
        self._client = client
        self._now = now
        self._patience = {name: Patience() for name in seats}

    async def judge(self, cases: Sequence[Case]) -> list[Verdict]:
        """Verdicts on all cases, asked for at once."""
        if len(cases) == 1:
            return [await self._ask(cases[0])]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._ask(case)) for case in cases]
        return [task.result() for task in tasks]

    def later(self, case: Case, tell: Callable[[Verdict], None]) -> None:
        """Ask while nobody waits, unless too many such are being asked."""
        if len(self._client.later) >= MAX_LATER:
            tell(Verdict(failure="too many at once"))
            return
        task = asyncio.get_running_loop().create_task(self._tell(case, tell))
        self._client.later.add(task)
        task.add_done_callback(self._client.later.discard)

    async def _tell(self, case: Case, tell: Callable[[Verdict], None]) -> None:
        tell(await self._ask(case))

    async def _ask(self, case: Case) -> Verdict:
        patience = self._patience[case.guard]
        if patience.is_out(self._now()):
            return LEFT_ALONE
        verdict = await self._try(case, self._seats[case.guard])
        if verdict.failure:
            patience.failed(self._now())
        else:
            patience.answered()
        return verdict

    async def _try(self, case: Case, seat: Seat) -> Verdict:
        try:
            async with asyncio.timeout(seat.timeout_s):
                data = await self._post(seat, orjson.dumps(seat.form.body(case)))
            return seat.form.read(data)
        except TimeoutError:
            return Verdict(failure="timeout")
        except _Status as exc:
            return Verdict(failure=f"status {exc.status}")
        except NoVerdict:
            return Verdict(failure="no verdict")
        except (aiohttp.ClientError, OSError, ValueError):
            return Verdict(failure="unreachable")

    async def _post(self, seat: Seat, body: bytes) -> bytes:
        async with self._client.session.post(
            seat.url,
            data=body,
            headers={"content-type": "application/json", **seat.headers},
            ssl=seat.tls if seat.tls is not None else True,
            allow_redirects=False,
        ) as answer:
            if answer.status != 200:
                raise _Status(answer.status)
            parts, size = [], 0
            async for part in answer.content.iter_any():
                parts.append(part)
                size += len(part)
                if size > MAX_ANSWER:
                    raise NoVerdict
            return b"".join(parts)


class _Status(Exception):
    """The judge answered with another status than 200."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status
