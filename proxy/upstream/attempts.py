"""Try targets in their order until one answers; before the first byte only.

This is the ``Forward`` of the pipeline.  Once an answer is returned from here
its head goes to the client, and a later failure is told in the stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from proxy.core.errors import (
    Overloaded,
    ProxyError,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamReset,
    UpstreamTimeout,
)
from proxy.core.exchange import Exchange
from proxy.core.plan import Plan, Target
from proxy.core.ports import Clock
from proxy.rules.retries import backoff, parse_retry_after, should_retry
from proxy.upstream.connection import Connection
from proxy.upstream.deadlines import Deadlines
from proxy.upstream.gate import PUSHED_BACK
from proxy.upstream.pool import Pool
from proxy.upstream.reply import Price, UpstreamReply
from proxy.upstream.target import Outgoing, Upstream, head_bytes, outgoing, rewrite_form
from proxy.wire.forms import once_of

MAX_WAIT: Final = 2.0
"""Seconds that a retry waits at most while another target could be asked."""

MAX_LAST_WAIT: Final = 8.0
"""The same where there is no other: beyond, the client's SDK waits better."""


@dataclass(slots=True)
class _Failure:
    """Why an attempt was not good enough, and the answer if there was one."""

    cause: str
    error: ProxyError | None = None
    reply: UpstreamReply | None = None
    retry_after: float | None = None


_NO_FAILURE: Final = _Failure("none")

_UNSENT: Final = frozenset({"connect", "queue"})
"""Causes of failure that leave the client's body as it was."""


class Forwarder:
    """Sends an exchange to the targets of its plan."""

    def __init__(
        self,
        upstreams: Mapping[str, Upstream],
        price: Price,
        clock: Clock,
        chance: Callable[[], float],
        *,
        max_body: int,
    ) -> None:
        self._upstreams = upstreams
        self._price = price
        self._clock = clock
        self._chance = chance
        self._max_body = max_body

    async def __call__(self, x: Exchange) -> UpstreamReply:
        """The first answer worth sending on, or the last failure."""
        plan = x.plan
        assert plan is not None
        failure = _NO_FAILURE
        for i, target in enumerate(plan.targets):
            is_last = i + 1 == len(plan.targets)
            if failure.reply is not None:
                failure.reply.close()
            is_bounded = self._upstreams[target.upstream].gate is not None
            go = self._in_turn if is_bounded else self._target
            reply, failure = await go(x, plan, target, is_last=is_last)
            if reply is not None:
                return reply
            if not _may_repeat(x) and x.attempts and failure.cause not in _UNSENT:
                break
        if failure.reply is not None:
            return failure.reply
        assert failure.error is not None
        raise failure.error

    async def _in_turn(
        self, x: Exchange, plan: Plan, target: Target, *, is_last: bool
    ) -> tuple[UpstreamReply | None, _Failure]:
        """The same for an upstream that is given so much at once."""
        gate = self._upstreams[target.upstream].gate
        assert gate is not None
        x.target = target
        slot = gate.enter(x)
        if slot is None:
            try:
                slot = await gate.wait(x)
            except Overloaded as exc:
                return None, _Failure("queue", exc)
        leave = partial(gate.leave, slot, x)
        try:
            reply, failure = await self._target(x, plan, target, is_last=is_last)
        except BaseException:
            leave()
            raise
        held = reply if reply is not None else failure.reply
        if held is None:
            leave()
        else:
            held.after(leave)
        return reply, failure

    async def _target(
        self, x: Exchange, plan: Plan, target: Target, *, is_last: bool
    ) -> tuple[UpstreamReply | None, _Failure]:
        """All attempts at one target."""
        upstream = self._upstreams[target.upstream]
        tries = max(1, plan.retry.attempts)
        upstream.budget.earned += plan.retry.budget
        failure = _NO_FAILURE
        for attempt in range(1, tries + 1):
            x.target = target
            answer = await self._attempt(x, target, upstream)
            if not isinstance(answer, _Failure):
                return answer, _NO_FAILURE
            failure = answer
            if upstream.gate is not None and failure.cause in PUSHED_BACK:
                upstream.gate.pushed_back(x.sent_at)
            is_retriable = should_retry(plan.retry, failure.cause)
            if not is_retriable and failure.reply is not None:
                # The client's own mistake is the same everywhere.
                return failure.reply, failure
            if not is_retriable or attempt == tries or not _may_repeat(x) or _is_client_retry(x):
                return None, failure
            wait = backoff(attempt - 1, failure.retry_after, self._chance())
            limit = MAX_LAST_WAIT if is_last else MAX_WAIT
            if wait > limit or not upstream.budget.take(self._clock.now()):
                return None, failure
            if self._clock.now() + wait - x.started > upstream.deadlines.total:
                return None, failure
            if failure.reply is not None:
                failure.reply.close()
            since = self._clock.now()
            await asyncio.sleep(wait)
            x.retried_s += self._clock.now() - since
        return None, failure

    async def _attempt(
        self, x: Exchange, target: Target, upstream: Upstream
    ) -> UpstreamReply | _Failure:
        began = self._clock.now()
        try:
            reply = await self._fetch(x, target, upstream)
        except Overloaded as exc:
            return _Failure("queue", exc)
        except UpstreamRefused as exc:
            return _Failure("connect", exc)
        except UpstreamTimeout as exc:
            return _Failure("timeout", exc)
        except UpstreamFailed as exc:
            return _Failure("reset", exc)
        finally:
            x.upstream_s += self._clock.now() - began
        return self._judge(x, reply, upstream)

    async def _fetch(self, x: Exchange, target: Target, upstream: Upstream) -> UpstreamReply:
        """An answer of which enough is here to decide on."""
        endpoint = upstream.choose()
        if x.endpoint.body == "form" and target.model and target.model != x.model:
            await rewrite_form(x, target.model, self._max_body)
        out = outgoing(x, target, upstream)
        request = head_bytes(x, target, upstream, endpoint, out.body)
        x.sent_at = self._clock.now()
        x.attempts += 1
        # Nothing that an earlier attempt said is true of this one.
        x.upstream_status = x.events = 0
        x.usage = None
        limits = upstream.socket_deadlines if x.endpoint.is_socket else upstream.deadlines
        conn = await self._send(x, endpoint.pool, request, out, limits)
        reply = UpstreamReply(x, conn, endpoint.pool, self._price, hides_usage=out.hides_usage)
        x.upstream_status = reply.head.status
        try:
            await reply.look()
        except BaseException:
            reply.close()
            raise
        return reply

    def _judge(
        self, x: Exchange, reply: UpstreamReply, upstream: Upstream
    ) -> UpstreamReply | _Failure:
        """Whether an answer that did come is good enough."""
        status = reply.head.status
        if status >= 400:
            x.lends_key = upstream.passthrough
            upstream.refused_key(status, self._clock.now())
            if reply.is_whole:
                body = upstream.provider.normalise_error(status, reply.whole)
                if body is not reply.whole:
                    reply.replace(body)
            wait = parse_retry_after(reply.head.headers, self._clock.wall())
            return _Failure(str(status), reply=reply, retry_after=wait)
        relay = reply.relay
        if relay is not None and relay.error is not None and relay.events == 1:
            # A 200 whose first event is an error is an error with a late head.
            code = relay.error.get("code")
            cause = str(code) if isinstance(code, int) and 400 <= code < 600 else "500"
            return _Failure(cause, reply=reply)
        return reply

    async def _send(
        self, x: Exchange, pool: Pool, request: bytes, out: Outgoing, deadlines: Deadlines
    ) -> Connection:
        """A connection whose head has come.  Raises ``UpstreamFailed``.

        A kept connection that breaks before a byte of the answer was closed
        by the upstream while idle; that costs one more connection and no
        attempt.
        """
        conn = pool.take_idle()
        was_stale = False
        while True:
            if conn is None:
                # Only once: a request that makes the upstream close looks the same.
                conn = await pool.open(is_fresh=was_stale)
            is_fresh = conn.used == 0
            try:
                conn.begin(
                    request + out.body if out.body else request,
                    deadlines=deadlines,
                    since=x.started,
                    is_head_method=x.method == "HEAD",
                    is_upgrade=x.endpoint.is_socket,
                )
                if out.body is None and x.intake.has_body:
                    await self._exchange_streamed(x, conn)
                else:
                    await conn.receive_head()
            except UpstreamReset:
                stale = not is_fresh and not conn.got_bytes
                pool.release(conn)
                if not stale or not _may_repeat(x):
                    raise
                conn, was_stale = None, True
            except BaseException:
                pool.release(conn)
                raise
            else:
                return conn

    async def _exchange_streamed(self, x: Exchange, conn: Connection) -> None:
        """Send the client's body as it comes; an early answer ends it."""
        upload = asyncio.create_task(self._upload(x, conn))

        def ended(task: asyncio.Task[None]) -> None:
            error = None if task.cancelled() else task.exception()
            if isinstance(error, ProxyError):
                conn.fail(error)
            elif error is not None:
                conn.fail(UpstreamReset("the request's body broke off"))

        upload.add_done_callback(ended)
        try:
            await conn.receive_head()
        finally:
            if not upload.done():
                conn.is_half_sent = True
                upload.cancel()

    async def _upload(self, x: Exchange, conn: Connection) -> None:
        is_chunked = x.intake.length is None
        once = once_of(x.headers.get("content-type", ""))
        async for data in x.intake.chunks(self._max_body):
            if once is not None:
                once.see(data)
            await conn.send(b"%x\r\n%s\r\n" % (len(data), data) if is_chunked else data)
        if is_chunked:
            await conn.send(b"0\r\n\r\n")


def _may_repeat(x: Exchange) -> bool:
    """Whether the request's body is still at hand."""
    return x.raw is not None or not x.intake.has_body


def _is_client_retry(x: Exchange) -> bool:
    """Whether the SDK is repeating: then it does the repeating, not both of us."""
    count = x.headers.get("x-stainless-retry-count", "0")
    return count.isdigit() and int(count) > 0
