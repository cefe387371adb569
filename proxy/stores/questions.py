"""Questions that were asked, by their vectors: those of this process, and what
it hears of replicas.

A question's words are sealed wherever they are.  Its vector, of which words can
be guessed, is sealed in the store and plain in this process only, where it is
searched.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from typing import Any, Final

import numpy as np

from proxy.core.ports import Clock, Tasks
from proxy.core.semantic import Asked, Vector
from proxy.stores.cache_redis import MOST_QUESTION, Shared
from proxy.stores.nearest import OVERHEAD, Nearest
from proxy.stores.replies import Page, order
from proxy.stores.sealed import Master, Unsealable

IN_FRAME: Final = 20_000
"""Questions in one frame, here and in the store."""

HEAR_S: Final = 1.0
"""How old what was heard of replicas may be."""

PAGE: Final = 200
"""Questions in one call of the store: opening them takes a millisecond."""

PAGES: Final = 400
"""Pages of what was asked before that are read; not all need be questions."""

FRAME: Final = 1280
"""Bytes that a frame costs beside its questions."""

LISTENING: Final = 4096
"""Frames that have no question; forgetting them must not take long."""

_HEAD: Final = struct.Struct("<HI")
"""Length of the name, length of the vector."""

_Ident = tuple[str, bytes]
"""Scope and frame."""


class _Frame:
    """The questions of one frame; ``heard`` is when replicas were last asked,
    ``last`` the newest that was heard of.
    """

    __slots__ = ("heard", "last", "nearest")

    @property
    def size(self) -> int:
        """Bytes, about."""
        return FRAME + self.nearest.size

    def __init__(self) -> None:
        self.nearest = Nearest(IN_FRAME)
        self.heard = -HEAR_S
        self.last = b""


class KeptQuestions:
    """Implements ``core.semantic.Questions``, in about ``limit`` bytes."""

    def __init__(
        self, shared: Shared, master: Master, tasks: Tasks, clock: Clock, *, is_far: bool
    ) -> None:
        self._shared = shared
        self._master = master
        self._tasks = tasks
        self._clock = clock
        self._is_far = is_far
        self._frames: OrderedDict[_Ident, _Frame] = OrderedDict()
        # Those among them that have no question: they leave first.
        self._empty: OrderedDict[_Ident, None] = OrderedDict()
        self.limit = 0
        self.size = 0
        self.rejected = 0

    def __len__(self) -> int:
        return sum(len(frame.nearest) for frame in self._frames.values())

    def near(
        self, scope: str, frame: bytes, vector: Vector, threshold: float, most: int
    ) -> list[Asked]:
        """The nearest, whose words can be opened."""
        kept = self._frames.get((scope, frame))
        if kept is None:
            return []
        self._frames.move_to_end((scope, frame))
        found = []
        for near in kept.nearest.find(vector, threshold, most):
            text = self._open(scope, near.name, near.kept)
            if text is None:
                self.drop(scope, frame, near.name)
            else:
                found.append(Asked(near.cosine, text.decode(), near.name))
        return found

    def add(
        self, scope: str, frame: bytes, asked: Asked, vector: Vector, *, era: bytes, seconds: float
    ) -> None:
        """Keep one here, and tell replicas."""
        if era != self._shared.salt(scope):
            return
        sealed = self._master.seal(scope, era, asked.name, asked.text.encode())
        self._put(scope, frame, asked.name, vector, sealed)
        if self._is_far:
            halves = np.frombuffer(vector, "<f4").astype("<f2").tobytes()
            record = _HEAD.pack(len(asked.name), len(halves)) + asked.name + halves + sealed
            told = self._master.seal(scope, era, frame, record)
            words = (era, frame, asked.name, told, int(seconds * 1000), IN_FRAME)
            if len(told) <= MOST_QUESTION:
                self._shared.learn(scope, words)

    def _put(self, scope: str, frame: bytes, name: bytes, vector: Vector, sealed: bytes) -> None:
        kept = self._frame(scope, frame)
        cost = kept.nearest.cost(vector) + OVERHEAD + len(sealed)
        self._make_room(cost, (scope, frame))
        # Where there is none, it takes the place of the oldest.
        fits = self.size + cost <= self.limit
        kept.nearest.limit = IN_FRAME if fits else max(1, len(kept.nearest))
        before = kept.nearest.size
        kept.nearest.add(name, vector, sealed)
        self.size += kept.nearest.size - before
        self._empty.pop((scope, frame), None)

    def _make_room(self, cost: int, but: _Ident) -> None:
        """Let frames go, those without a question first, then the longest unused."""
        while self.size + cost > self.limit and len(self._frames) > 1:
            others = len(self._empty) - (but in self._empty)
            least: OrderedDict[_Ident, Any] = self._empty if others else self._frames
            if next(iter(least)) == but:
                least.move_to_end(but)
            self._leave(next(iter(least)))

    def _leave(self, ident: _Ident) -> None:
        self._empty.pop(ident, None)
        self.size -= self._frames.pop(ident).size

    def _frame(self, scope: str, frame: bytes) -> _Frame:
        ident = (scope, frame)
        kept = self._frames.get(ident)
        if kept is None:
            kept = self._frames[ident] = _Frame()
            self._empty[ident] = None
            self.size += FRAME
            self._make_room(0, ident)
            if len(self._empty) > LISTENING:
                self._leave(next(iter(self._empty)))
        self._frames.move_to_end(ident)
        if ident in self._empty:
            self._empty.move_to_end(ident)
        return kept

    def drop(self, scope: str, frame: bytes, name: bytes) -> None:
        """Forget one here; replicas find out for themselves."""
        kept = self._frames.get((scope, frame))
        if kept is not None:
            before = kept.nearest.size
            kept.nearest.drop(name)
            self.size += kept.nearest.size - before
            if not len(kept.nearest):
                self._empty[scope, frame] = None

    def forget(self, scope: str) -> None:
        """Forget a scope, or ("") all."""
        for ident in [i for i in self._frames if not scope or i[0] == scope]:
            self._leave(ident)

    def _open(self, scope: str, name: bytes, sealed: bytes) -> bytes | None:
        try:
            return self._master.open(scope, self._shared.salt(scope), name, sealed)
        except Unsealable:
            self.rejected += 1
            return None

    # replicas

    async def hear(self, scope: str, frame: bytes) -> None:
        """Take over the newest, and in the background the rest."""
        if not self._is_far or not self._shared.is_up:
            return
        kept = self._frame(scope, frame)
        if self._clock.now() - kept.heard < HEAR_S:
            return
        kept.heard = self._clock.now()
        is_first = not kept.last
        page = await self._shared.questions(scope, frame, PAGE, after=kept.last)
        if page is None:
            return
        self._take(scope, frame, kept, page)
        if page.is_more and not is_first:
            kept.heard -= HEAR_S
        elif page.is_more and page.last:
            self._tasks.begin(self._older(scope, frame, kept, page.last))

    async def _older(self, scope: str, frame: bytes, kept: _Frame, before: bytes) -> None:
        for _ in range(PAGES):
            is_full = len(kept.nearest) >= kept.nearest.limit
            if is_full or self._frames.get((scope, frame)) is not kept:
                return
            page = await self._shared.questions(scope, frame, PAGE, before=before)
            if page is None:
                # The rest is behind the newest, with which it begins again.
                kept.last = b""
                return
            self._take(scope, frame, kept, page)
            if not page.is_more or not page.last:
                return
            before = page.last
            await self._tasks.pause(0)

    def _take(self, scope: str, frame: bytes, kept: _Frame, page: Page) -> None:
        kept.last = max(kept.last, page.first, page.last, key=order)
        self.rejected += page.odd
        # The oldest first, as they are the first to leave again.
        for _, name, told in sorted(page.rows, key=lambda row: order(row[0])):
            if name not in kept.nearest and self._frames.get((scope, frame)) is kept:
                self._take_one(scope, frame, name, told)

    def _take_one(self, scope: str, frame: bytes, name: bytes, told: bytes) -> None:
        record = self._open(scope, frame, told)
        if record is None:
            return
        named, length = _HEAD.unpack_from(record)
        at = _HEAD.size + named
        # The name outside is not sealed: the one inside counts.
        if record[_HEAD.size : at] != name:
            self.rejected += 1
            return
        vector: Vector = np.frombuffer(record[at : at + length], "<f2").astype("<f4").tobytes()
        self._put(scope, frame, name, vector, record[at + length :])
