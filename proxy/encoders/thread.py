"""A model that runs beside the event loop, in one thread.

The libraries let go of the interpreter while they compute, so the loop goes on.
All that is kept here is touched by the loop alone; the thread gets texts and
gives vectors.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from proxy.core.semantic import Vector

log = logging.getLogger("sidestream.semantic")

MAX_WAITING: Final = 64
"""Texts that may wait; over that nobody would be served in time."""

MAX_TEXTS: Final = 8
MAX_CHARACTERS: Final = 1024
"""Of one turn of the thread: who is first in it waits for all of it."""


class Model(Protocol):
    """What makes vectors, and blocks while it does."""

    @property
    def ident(self) -> str:
        """Names the model."""
        ...

    def vectors(self, texts: Sequence[str]) -> list[Vector]:
        """One vector a text; may raise anything."""
        ...


@dataclass(frozen=True, slots=True)
class _Asked:
    """A text, and where its vector is waited for."""

    text: str
    made: asyncio.Future[Vector | None]


class InThread:
    """An ``Embedder`` that runs ``model`` in a thread of its own."""

    def __init__(self, model: Model) -> None:
        self.ident = model.ident
        self._model = model
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embed")
        self._waiting: deque[_Asked] = deque()
        self._is_busy = self._is_closed = self._has_failed = False

    async def embed(self, texts: Sequence[str], timeout_s: float) -> list[Vector] | None:
        """One vector a text; ``None`` if late, if too many wait, or if the model fails."""
        if self._is_closed or len(self._waiting) + len(texts) > MAX_WAITING:
            return None
        future = asyncio.get_running_loop().create_future
        asked = [_Asked(text, future()) for text in texts]
        self._waiting += asked
        self._go_on()
        made: list[Vector] = []
        try:
            async with asyncio.timeout(timeout_s):
                for one in asked:
                    vector = await one.made
                    if vector is None:
                        return None
                    made.append(vector)
        except TimeoutError:
            return None
        finally:
            # What nobody waits for any more is not computed.
            for one in asked:
                one.made.cancel()
        return made

    def close(self) -> None:
        """Compute no more; who waits gets nothing."""
        self._is_closed = True
        self._thread.shutdown(wait=False, cancel_futures=True)
        _give(self._waiting, None)
        self._waiting.clear()

    def _go_on(self) -> None:
        if self._is_busy or self._is_closed:
            return
        batch = self._take()
        if batch:
            self._is_busy = True
            texts = [one.text for one in batch]
            loop = asyncio.get_running_loop()
            work = loop.run_in_executor(self._thread, self._model.vectors, texts)
            work.add_done_callback(partial(self._done, batch))

    def _take(self) -> list[_Asked]:
        batch: list[_Asked] = []
        size = 0
        while self._waiting and len(batch) < MAX_TEXTS and size < MAX_CHARACTERS:
            one = self._waiting.popleft()
            if not one.made.done():
                batch.append(one)
                size += len(one.text)
        return batch

    def _done(self, batch: Sequence[_Asked], work: asyncio.Future[list[Vector]]) -> None:
        self._is_busy = False
        error = None if work.cancelled() else work.exception()
        if error is not None and not self._has_failed:
            # Its message may quote the text.
            log.error("the encoder failed: %s", type(error).__name__)
        self._has_failed = error is not None
        _give(batch, None if error is not None or work.cancelled() else work.result())
        self._go_on()


def _give(batch: Sequence[_Asked] | deque[_Asked], vectors: Sequence[Vector] | None) -> None:
    """Tell those who still wait."""
    for i, one in enumerate(batch):
        if not one.made.done():
            one.made.set_result(vectors[i] if vectors is not None else None)
