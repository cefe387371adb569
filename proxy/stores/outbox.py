"""Settlements on their way to the store, and those that wait for it.

A settlement is sent at once.  When the store cannot take it, it waits here
and is sent again, as often as it takes, until the store has answered: the
script sees to it that it counts once.  What the box cannot hold is lost, and
counted as such.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import Final

import hiredis

from proxy.stores.pipe import StoreDown, Unanswered
from proxy.stores.scripts import Script
from proxy.stores.store import Store

log = logging.getLogger("sidestream.store")

MAX_REFUSALS: Final = 20
"""Error replies after which a settlement is taken for one that never passes."""
MAX_IN_FLIGHT: Final = 512

LATE: Final = 2
"""What the script answers when it has charged without a reservation."""


class Delivery:
    """One settlement.  ``begun`` is the book its reservation was made in, 0 if unknown.

    ``is_first`` until it may have reached the store.
    """

    __slots__ = ("args", "begun", "box", "is_first", "key", "refusals")

    def __init__(self, box: Outbox, key: bytes, args: tuple[bytes | str, ...], begun: int) -> None:
        self.box = box
        self.key = key
        self.args = args
        self.begun = begun
        self.is_first = True
        self.refusals = 0

    def answer(self, reply: object) -> None:
        """What became of it."""
        self.box.answered(self, reply)


class Outbox:
    """Holds at most ``limit`` settlements; any more are lost."""

    def __init__(self, store: Store, settle: Script, *, limit: int = 20_000) -> None:
        self._store = store
        self._settle = settle
        self._limit = limit
        self._waiting: deque[Delivery] = deque()
        self.in_flight = 0
        self.delivered = 0
        self.late = 0
        self.lost = 0
        self._is_full = False

    @property
    def waiting(self) -> int:
        """Settlements that the store has not taken yet."""
        return len(self._waiting)

    def put(self, key: bytes, args: tuple[bytes | str, ...], begun: int) -> None:
        """Send one settlement: ``args`` are the script's but the last."""
        delivery = Delivery(self, key, args, begun)
        if self.in_flight < MAX_IN_FLIGHT:
            self._send(delivery)  # in front of what waits: their order is of no account
        else:
            self._keep(delivery)

    def flush(self) -> None:
        """Send what waits, as much at a time as may be under way.

        Each is tried once: what fails right here goes to the end of the line.
        """
        for _ in range(min(len(self._waiting), MAX_IN_FLIGHT - self.in_flight)):
            self._send(self._waiting.popleft())

    def _send(self, delivery: Delivery) -> None:
        self.in_flight += 1
        seen = "" if delivery.is_first else str(delivery.begun)
        self._store.run(self._settle, delivery.key, (*delivery.args, seen), delivery.answer)

    def answered(self, delivery: Delivery, reply: object) -> None:
        """Take the store's word on a delivery that was sent."""
        self.in_flight -= 1
        if isinstance(reply, StoreDown):
            if isinstance(reply, Unanswered):
                delivery.is_first = False
            self._keep(delivery)
            return
        if isinstance(reply, hiredis.ReplyError):
            delivery.refusals += 1
            delivery.is_first = False  # some of it may have been written
            if delivery.refusals < MAX_REFUSALS:
                self._keep(delivery)
                return
            self.lost += 1
            log.error("store refuses a settlement, which is lost: %s", reply)
        else:
            self.delivered += 1
            self.late += reply == LATE
        if self._waiting and self._store.is_up:
            self.flush()

    def _keep(self, delivery: Delivery) -> None:
        if len(self._waiting) < self._limit:
            self._is_full = False
            self._waiting.append(delivery)
            return
        self.lost += 1
        if not self._is_full:
            self._is_full = True
            log.error("the outbox is full: settlements are lost until the store is back")
