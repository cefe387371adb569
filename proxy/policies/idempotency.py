"""Answer a repeated request as it was answered the first time.

A client that does not know whether its request was carried out sends it again
under the same ``Idempotency-Key``.  Within ten minutes it is given the first
answer, and while that is still coming in, it is given that; so it goes on
coming in when the client's connection breaks.  Only answers that were
successful are kept: what failed is what the client wants to try again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import orjson

from proxy.core.cache import Key, Vault
from proxy.core.errors import BadRequest
from proxy.core.exchange import End, Exchange, Head
from proxy.core.fills import Fills, Work
from proxy.core.flight import Flight
from proxy.core.policy import Policy, Reply
from proxy.core.ports import Clock
from proxy.core.ready import Ready
from proxy.rules.cachekey import material
from proxy.rules.guards import mark
from proxy.wire.replay import Entry

KEPT_S: Final = 600.0
MAX_KEY: Final = 255
MAX_ENTRY: Final = 1 << 20
LEASE_S: Final = 15.0
"""How long after its end a replica is waited for; it says every ``BEAT_S`` that it lives."""

WAIT_S: Final = 120.0
STEP_S: Final = 0.1
_REPLAYED: Final = (b"idempotent-replayed", b"true")


class KeyReused(BadRequest):
    """The same key came with another request."""

    status = 422
    code = "idempotency_key_reused"


class IdempotencyPolicy(Policy):
    """First answers by ``Idempotency-Key``, each tenant's own.

    ``marks`` say by route what its rules are, so that an answer given under
    others is not given again; a route without one has its clients' own keys.
    """

    name = "idempotency"

    def __init__(self, vault: Vault, fills: Fills, clock: Clock, marks: Mapping[str, str]) -> None:
        self._vault = vault
        self._marks = marks
        self._fills = fills
        self._clock = clock

    async def on_request(self, x: Exchange) -> Reply | None:
        """The first answer, now or as it comes."""
        given = x.headers.get("idempotency-key")
        if given is None or x.body is None or x.method != "POST":
            return None
        if not 0 < len(given) <= MAX_KEY:
            raise BadRequest(f"an Idempotency-Key has 1 to {MAX_KEY} characters")
        rules = self._marks.get(x.asked_route)
        if rules is None:
            return None
        scope = f"t.{x.tenant}"
        key = self._vault.key(scope, material(("idempotency", given, x.subject, rules), b""))
        whole = orjson.dumps(x.body, option=orjson.OPT_SORT_KEYS)
        digests = self._vault.key(scope, material((x.path, x.query), whole))
        whose = x.redaction.whose if x.redaction is not None else ""
        # Under this master key, and under the last.
        asked = tuple(f"{name.hex()} {whose}" for name in digests if name is not None)
        data = self._vault.near(scope, key)
        if data is None:
            data = await self._far(scope, key)
        if data is not None and (reply := self._replay(x, data, asked)) is not None:
            return reply
        return await self._join(x, scope, key, asked)

    async def _far(self, scope: str, key: Key) -> bytes | None:
        """What another replica answered, or is about to."""
        waited = 0.0
        while self._fills.flights.find(self._name(scope, key)) is None and waited < WAIT_S:
            with self._fills.asking(self._vault, scope, key):
                found = await self._vault.far(scope, (key,), lease_s=LEASE_S)
            if found.data[0] is not None or found.is_leader:
                return found.data[0]
            if self._fills.flights.find(self._name(scope, key)) is None:
                await self._fills.tasks.pause(STEP_S)
                waited += STEP_S
        return None

    def _name(self, scope: str, key: Key) -> bytes:
        """What its flight is called: after an erasure otherwise."""
        return key.now + self._vault.era(scope)

    def _replay(self, x: Exchange, data: bytes, asked: Sequence[str]) -> Reply | None:
        try:
            entry = Entry.unpack(data)
        except ValueError:
            return None
        if self._clock.wall() - entry.at >= KEPT_S:
            return None
        if not _is_same(entry.ident, asked):
            return None
        shown = entry.finish.encode("latin-1")
        kind = shown.partition(b";")[0].strip().lower()
        head = Head(entry.status, [(b"content-type", shown)], kind, is_stream=bool(entry.events))
        body = entry.events or entry.whole
        if not head.is_stream:
            head.length = len(body)
        x.source, x.flags = entry.target, entry.flags
        _tell(x)
        return Ready(head, body)

    async def _join(self, x: Exchange, scope: str, key: Key, asked: Sequence[str]) -> Reply | None:
        era = self._vault.era(scope)

        def keep(flight: Flight, end: End) -> bool:
            entry = self._entry(flight, end, asked[0])
            if entry is None:
                self._vault.release(scope, key)
                return False
            self._vault.keep(scope, key, entry.pack(), era=era, seconds=KEPT_S)
            return True

        async def beat() -> None:
            await self._vault.far(scope, (key,), lease_s=LEASE_S)

        name = self._name(scope, key)
        flight = self._fills.flights.find(name)
        if flight is not None and not _is_same(flight.ident, asked):
            return None
        work = Work(
            self, x, name, keep, MAX_ENTRY, keeps_usage=False, outlasts=True, ident=asked[0]
        )
        if self._vault.is_shared:
            work = work._replace(beat=beat)
        follower = await self._fills.join(work)
        if follower is not None and not follower.leads:
            _tell(x)
        return follower

    def _entry(self, flight: Flight, end: End, asked: str) -> Entry | None:
        head = flight.head
        if end.kind != "complete" or head is None or not flight.is_kept:
            return None
        said = {name.lower(): value for name, value in head.headers}
        if not 200 <= head.status < 300 or b"content-encoding" in said:
            # Of another coding the next client may know nothing.
            return None
        body, of = flight.body, flight.x
        kind = said.get(b"content-type", head.content_type)
        return Entry(
            at=self._clock.wall(), ttl=KEPT_S, stale=0.0, status=head.status, kind="idempotency",
            target=of.source or (of.target.name if of.target is not None else ""),
            flags=of.flags, ident=asked, finish=kind.decode("latin-1"),
            whole=b"" if head.is_stream else body, events=body if head.is_stream else b"",
        )  # fmt: skip


def _is_same(ident: str, asked: Sequence[str]) -> bool:
    """Whether it was the same request that came first under the key.  Raises
    ``KeyReused`` where it was another.

    With pseudonyms under different keys nobody can say, and to refuse the same
    would be worse than to ask again.
    """
    if ident in asked:
        return True
    whose, other = ident.partition(" ")[2], asked[0].partition(" ")[2]
    if whose and other and whose != other:
        return False
    raise KeyReused("this Idempotency-Key was used for another request")


def _tell(x: Exchange) -> None:
    """Say that the answer was given before, and what guards said of it then."""
    x.notes["cache"] = "replay"
    x.answer_headers.append(_REPLAYED)
    mark(x, x.flags)
