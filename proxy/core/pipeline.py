"""Drives one exchange through the stages and always unwinds them.

This module decides order and lifetime and nothing else: no policy is named
here, no byte is parsed here.

Where no stage has a stream half, which is most answers, the body goes from
one socket to the other as the upstream framed it, and nothing here sees it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from proxy.core.errors import Draining, ProxyError
from proxy.core.exchange import CUT, End, Exchange, Head
from proxy.core.frame import Frame
from proxy.core.policy import Answer, Policy, Reply, Send, StreamHalf, Write
from proxy.core.traces import log_trace

log = logging.getLogger("sidestream.pipeline")


class ClientLeg(Protocol):
    """The way back to the client."""

    def start(self, x: Exchange, head: Head) -> None:
        """Send the head; it may be held until the first bytes of the body."""
        ...

    def write(self, data: bytes) -> bool:
        """Send bytes of the body; false asks to wait for ``drain``."""
        ...

    async def drain(self) -> None:
        """Wait until the client has caught up."""
        ...

    def finish(self) -> None:
        """The answer is complete."""
        ...

    def refuse(self, x: Exchange, error: ProxyError) -> None:
        """Tell the client of an error, in whatever form is still possible."""
        ...


class Framer(Protocol):
    """Cuts bytes into frames; knows nothing of where they were torn."""

    def feed(self, data: bytes) -> list[Frame]:
        """All frames that are whole now."""
        ...

    def flush(self) -> Frame | None:
        """What is left at the end without being whole."""
        ...


Forward = Callable[[Exchange], Awaitable[Reply]]
Step = tuple[Policy, Callable[[Exchange], Awaitable[Answer | Reply | None]] | None, bool]
"""A stage, its request half, and whether it has more: a stream half or an end."""


class Bug(ProxyError):
    """Something here is broken; the log has the trace, the client the id."""


class Pipeline:
    """The stages of one configuration, in order, and the leg upstream."""

    def __init__(
        self,
        stages: Sequence[Policy],
        forward: Forward,
        framer: Callable[[], Framer],
    ) -> None:
        self.stages = tuple(stages)
        self._forward = forward
        self._framer = framer
        # Only stages that override a half are asked for one: asking costs a
        # call for each stage of each answer.
        self._with_half = frozenset(
            s for s in self.stages if type(s).on_response is not Policy.on_response
        )
        more = self._with_half | {s for s in self.stages if type(s).on_end is not Policy.on_end}
        self._steps = tuple(
            (s, None if type(s).on_request is Policy.on_request else s.on_request, s in more)
            for s in self.stages
        )

    async def run(self, x: Exchange, client: ClientLeg, *, after: Policy | None = None) -> End:
        """Take ``x`` all the way to its end and return how it ended.

        With ``after`` only the stages behind that one are entered: a stage
        may send an exchange of its own the rest of the way.  Only
        cancellation (the client left, or ``CUT``) is raised, after unwinding.
        """
        entered: list[Policy] = []
        end = End("complete")
        steps = self._steps if after is None else self._steps[self.stages.index(after) + 1 :]
        try:
            await self._travel(x, steps, entered, client)
        except asyncio.CancelledError as exc:
            end = _left(x, client, exc)
            raise
        except ConnectionError as exc:
            # Translated at the upstream adapter, so this one is the client's.
            end = End("client_gone", exc)
        except ProxyError as exc:
            end = End("upstream_broke" if exc.fault == "upstream" else "refused", exc)
            _refuse(x, client, exc)
        except Exception as exc:
            log_trace(log, f"request {x.id}", exc)
            end = End("refused", exc)
            _refuse(x, client, Bug(f"internal error; the log names it by request id {x.id}"))
        finally:
            self._unwind(x, entered, end)
        return end

    async def _travel(
        self, x: Exchange, steps: Sequence[Step], entered: list[Policy], client: ClientLeg
    ) -> None:
        watching: Sequence[Policy] = entered
        for stage, on_request, has_more in steps:
            if has_more:
                entered.append(stage)
            if on_request is None:
                continue
            answer = await on_request(x)
            if answer is None:
                continue
            # The stage that answered does not watch its own answer.
            watching = entered[:-1] if has_more else entered
            if isinstance(answer, Answer):
                await self._deliver(x, answer, watching, client)
                return
            reply = answer
            break
        else:
            reply = await self._forward(x) if x.held is None else x.held
        try:
            halves = self._halves(x, watching, reply.head)
            if not halves:
                client.start(x, reply.head)
                await reply.pump(client.write, client.drain)
            elif reply.head.is_stream:
                client.start(x, reply.head)
                chain = _Chain(halves, client)
                try:
                    await reply.pump(chain.through(self._framer()), chain.drain)
                except ProxyError as exc:
                    # What halves hold is still the upstream's; an error event follows it.
                    if exc.fault == "upstream":
                        await chain.flush()
                    raise
                await chain.flush()
            else:
                await self._whole(x, reply, halves, client)
            client.finish()
        finally:
            reply.close()

    async def _deliver(
        self, x: Exchange, answer: Answer, before: Sequence[Policy], client: ClientLeg
    ) -> None:
        chain = _Chain(self._halves(x, before, answer.head), client)
        client.start(x, answer.head)
        for frame in answer.frames:
            chain.send(frame)
            await chain.drain()
        await chain.flush()
        client.finish()

    async def _whole(
        self, x: Exchange, reply: Reply, halves: Sequence[StreamHalf], client: ClientLeg
    ) -> None:
        parts: list[bytes] = []

        def gather(data: bytes) -> bool:
            parts.append(data)
            return True

        await reply.pump(gather, client.drain)
        out: list[bytes] = []
        chain = _Chain(halves, None, out.append)
        body = b"".join(parts)
        chain.send(Frame(body, body))
        await chain.flush()
        changed = b"".join(out)
        reply.head.length = len(changed)
        client.start(x, reply.head)
        client.write(changed)

    def _unwind(self, x: Exchange, entered: Sequence[Policy], end: End) -> None:
        for stage in reversed(entered):
            try:
                stage.on_end(x, end)
            except Exception as exc:
                log_trace(log, f"stage {stage.name} in on_end", exc)

    def _halves(self, x: Exchange, entered: Sequence[Policy], head: Head) -> tuple[StreamHalf, ...]:
        """Innermost first: the answer travels back the way the request came."""
        if not self._with_half:
            return ()
        made = (s.on_response(x, head) for s in reversed(entered) if s in self._with_half)
        return tuple(half for half in made if half is not None)


class _Chain:
    """Halves strung together, the last of them sending to the client."""

    def __init__(
        self,
        halves: Sequence[StreamHalf],
        client: ClientLeg | None,
        sink: Callable[[bytes], object] | None = None,
    ) -> None:
        self._client = client
        self._sink = sink
        self._is_clear = True
        self._batch: list[bytes] | None = None
        self._flushes: list[tuple[StreamHalf, Send]] = []
        self._waiting = tuple(h for h in halves if type(h).settle is not StreamHalf.settle)
        send: Send = self._out
        for half in reversed(halves):
            self._flushes.insert(0, (half, send))
            send = _bind(half, send)
        self.send = send

    def _out(self, frame: Frame) -> None:
        if self._batch is not None:
            self._batch.append(frame.raw)
        elif self._client is not None:
            self._is_clear = self._client.write(frame.raw)
        elif self._sink is not None:
            self._sink(frame.raw)

    def through(self, framer: Framer) -> Write:
        """A ``Write`` that frames what it is given and sends it down the chain."""
        (first, send), client = self._flushes[0], self._client
        assert client is not None
        waiting = self._waiting
        pausing = [p for p in self._flushes if type(p[0]).pause is not StreamHalf.pause]

        def write(data: bytes) -> bool:
            # One write for all events of one read, as without halves.
            batch = self._batch = []
            try:
                first.feed_all(framer.feed(data), send)
                for half, on in pausing:
                    half.pause(on)
            finally:
                self._batch = None
                if batch:
                    self._is_clear = client.write(b"".join(batch))
            return self._is_clear and not any(half.is_waiting for half in waiting)

        return write

    async def drain(self) -> None:
        """Wait for the halves that wait for somebody, then for the client."""
        for half, send in self._flushes:
            if half.is_waiting:
                await half.settle(send)
        if self._client is not None:
            await self._client.drain()

    async def flush(self) -> None:
        """Let go of what the halves hold, innermost first."""
        for half, send in self._flushes:
            if half.is_waiting:
                await half.settle(send)
            half.flush(send)
            if half.is_waiting:
                await half.settle(send)


def _bind(half: StreamHalf, send: Send) -> Send:
    feed = half.feed
    return lambda frame: feed(frame, send)


def _refuse(x: Exchange, client: ClientLeg, error: ProxyError) -> None:
    try:
        client.refuse(x, error)
    except ConnectionError:
        # Nobody is left to be told.
        return


def _left(x: Exchange, client: ClientLeg, exc: asyncio.CancelledError) -> End:
    """The client has left, or we do and tell it so."""
    if exc.args != (CUT,):
        return End("client_gone", exc)
    error = Draining("the process is shutting down and could not wait for the end", retry_after=1)
    _refuse(x, client, error)
    return End("refused", error)
