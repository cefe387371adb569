"""Answer from what was answered before; ask once for all who ask the same.

After redaction, so that nothing personal is in keys or values; before quota,
so that a hit costs the tenant nothing.  What goes upstream goes as a flight
(``core.flight``) through the stages behind this one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from proxy.core.cache import Key
from proxy.core.errors import Overloaded, UpstreamFailed
from proxy.core.exchange import End, Exchange, Usage
from proxy.core.fills import Work
from proxy.core.flight import Flight, Follower
from proxy.core.policy import Reply
from proxy.rules.cacheable import CacheRule
from proxy.rules.cached import CachedPolicy, CacheMeans
from proxy.rules.freshness import State, Wish, state_of
from proxy.rules.guards import mark
from proxy.rules.keys import Keys
from proxy.semantic.finder import Match, Place, Semantics
from proxy.wire.kept import (
    entry_of,
    held,
    hides_usage,
    left_alone,
    made_of,
    not_cached,
    replayed,
    say,
    say_hit,
    say_like,
)
from proxy.wire.replay import Entry, without_usage

KINDS: Final = frozenset({"chat", "completions", "responses"})
LEASE_S: Final = 5.0
LEASE_WAIT_S: Final = 0.3
LEASE_STEP_S: Final = 0.03


@dataclass(slots=True)
class Look:
    """One request looking for its answer.

    ``old`` is one that is no longer fresh; ``is_stale`` says that it serves on.
    ``place`` is where questions that mean the same are kept, ``match`` the answer
    to one.
    """

    x: Exchange
    rule: CacheRule
    wish: Wish
    scope: str
    key: Key
    era: bytes
    old: Entry | None = None
    is_stale: bool = False
    place: Place | None = None
    match: Match | None = None

    @property
    def name(self) -> bytes:
        """What its flight is called: after an erasure otherwise."""
        return self.key.now + self.era


class CachePolicy(CachedPolicy):
    """The exact cache, for the routes that ``rules`` names."""

    name = "cache"

    def __init__(self, means: CacheMeans, semantics: Semantics) -> None:
        super().__init__(means)
        self._keys = Keys(means.epochs)
        self._semantics = semantics

    async def on_request(self, x: Exchange) -> Reply | None:
        """A hit, an answer on its way to others or to us, or ``None`` to go alone."""
        rule = self._rules.get(x.route)
        if rule is None or x.endpoint.name not in KINDS or (x.raw is None and x.body is None):
            return None
        wish = rule.wish_of(x)
        key = self._keys.find(x, rule, wish)
        if isinstance(key, str):
            self._meter.result(rule.name, "bypass")
            left_alone(x, key, only_cached=wish.only_cached)
            return None
        scope = rule.scope_of(x)
        look = Look(x, rule, wish, scope, key, rule.vault.era(scope))
        try:
            reply = await self._answer(look)
        except BaseException:
            # However it ended, there was no answer here.
            if "cache" not in x.notes:
                self._said(look, leads=True)
            raise
        return held(x, reply) if rule.charges else reply

    async def _answer(self, look: Look) -> Reply | None:
        rule, wish = look.rule, look.wish
        served = self._serve(look, rule.vault.near(look.scope, look.key), "memory")
        if served is not None:
            return served
        # The next who asks must not wait for a client that has left.
        with self._fills.asking(rule.vault, look.scope, look.key):
            served = await self._elsewhere(look)
        if served is not None:
            return served
        if wish.only_cached:
            self._counted(look.x, rule, "miss")
            raise not_cached(look.x, "miss", f'detail=not_cached; key="{look.key.now.hex()}"')
        return await self._join(look)

    async def _elsewhere(self, look: Look) -> Reply | None:
        """What the replicas share, what serves on, or the answer to a question that
        means the same.
        """
        rule, wish = look.rule, look.wish
        is_alone = self._fills.flights.find(look.name) is None
        if is_alone and wish.reads and rule.vault.is_shared:
            served = await self._far(look)
            if served is not None:
                return served
        if look.is_stale:
            return self._stale(look)
        # Not what was asked before a purge, which the store may just have told of.
        if rule.likeness is not None and self._keys.find(look.x, rule, wish) == look.key:
            look.place = self._semantics.place(look.x, rule)
        if look.place is not None and is_alone and wish.reads:
            look.match = await self._semantics.find(look.place, wish)
            if look.match is not None:
                return self._alike(look, look.match)
        return None

    async def _far(self, look: Look) -> Reply | None:
        """Ask what the replicas share; wait a moment for one that is at it."""
        vault, x = look.rule.vault, look.x
        waited = 0.0
        while True:
            lease_s = 0.0 if look.wish.only_cached else LEASE_S
            found = await vault.far(look.scope, (look.key,), lease_s=lease_s)
            look.era = vault.era(look.scope)
            served = self._serve(look, found.data[0], "redis")
            if served is not None:
                return served
            is_ours = found.is_leader or self._fills.flights.find(look.name) is not None
            if is_ours or x.stream or waited >= LEASE_WAIT_S or look.wish.only_cached:
                return None
            await self._fills.tasks.pause(LEASE_STEP_S)
            waited += LEASE_STEP_S

    # hits

    def _serve(self, look: Look, data: bytes | None, layer: str) -> Reply | None:
        """The answer in ``data`` if it may be given; else it is remembered for worse times."""
        if data is None:
            return None
        try:
            entry = Entry.unpack(data)
        except ValueError:
            self._meter.unstored(look.rule.name, "form")
            return None
        if entry.kind != look.x.endpoint.name:
            return None
        age = self._clock.wall() - entry.at
        state = state_of(age, entry.ttl, entry.stale, look.wish) if look.wish.reads else "expired"
        if state == "fresh":
            return self._hit(look, entry, layer, state)
        look.old, look.is_stale = entry, state == "stale"
        if state == "expired" or (layer == "memory" and look.rule.vault.is_shared):
            # Another replica may have a newer one by now.
            return None
        return self._stale(look)

    def _stale(self, look: Look) -> Reply:
        """Give what there is, and ask anew for the next."""
        assert look.old is not None
        self._fills.refresh(self._work(look))
        return self._hit(look, look.old, "stale", "stale")

    def _alike(self, look: Look, match: Match) -> Reply:
        """Give the answer to another question, and now and then look whether it was right."""
        look.rule.vault.release(look.scope, look.key)
        if match.is_sampled:
            self._fills.refresh(self._work(look))
        # Under its own key, by which it can be purged.
        return self._hit(replace(look, key=match.key), match.entry, "semantic", "fresh")

    def _hit(self, look: Look, entry: Entry, layer: str, state: State) -> Reply:
        x = look.x
        age = max(0.0, self._clock.wall() - entry.at)
        result = layer if state == "fresh" else "stale"
        self._meter.hit(look.rule.name, result, age, sum(entry.usage), entry.cost)
        x.notes["cache"] = result
        x.finish, x.source, x.flags = entry.finish, entry.target, entry.flags
        if entry.flags:
            mark(x, entry.flags)
        if look.rule.charges:
            x.usage, x.cost_nanos = Usage(*entry.usage), entry.cost
        word = "stale" if state != "fresh" else "semantic" if look.match else "hit"
        say_hit(x, word, entry, age, look.key.now, is_late=state == "expired")
        if look.match is not None:
            say_like(x, look.match.cosine, look.key.now, entry.asker)
        return replayed(x, entry)

    # flights

    async def _join(self, look: Look) -> Reply | None:
        """Follow who is asking the same, or be the one."""
        x = look.x
        try:
            follower = await self._fills.join(
                self._work(look), without_usage if hides_usage(x) else None
            )
        except (UpstreamFailed, Overloaded):
            if look.old is None or not look.rule.on_exhausted:
                raise
            return self._hit(look, look.old, "stale", "expired")
        if follower is None:
            self._said(look, leads=True)
            return None
        reply: Reply | None = None
        try:
            reply = await self._fitting(look, follower)
        finally:
            if reply is not follower:
                follower.close()
        if reply is follower or reply is None:
            self._said(look, leads=follower.leads or reply is None)
        return reply

    def _said(self, look: Look, *, leads: bool) -> None:
        """Count and tell that it was not answered from here, and why."""
        why = "request" if not look.wish.reads else "stale" if look.old else "miss"
        word = "miss" if leads else "follow"
        more = "" if leads else "; collapsed"
        self._counted(look.x, look.rule, word)
        mark(look.x, look.x.flags)
        say(look.x, word, f'fwd={why}{more}; key="{look.key.now.hex()}"')

    async def _fitting(self, look: Look, follower: Follower) -> Reply | None:
        """The flight's answer in the form that is wanted; ``None`` to go alone."""
        x, flight, status = look.x, follower.flight, follower.head.status
        if (status >= 500 or status == 429) and look.old is not None and look.rule.on_exhausted:
            return self._hit(look, look.old, "stale", "expired")
        if status != 200 or x.stream == flight.x.stream:
            return follower
        if not await follower.whole():
            return None
        if flight.made is None and flight.head is not None:
            at, terms = self._clock.wall(), look.rule.terms
            # Also that there is none is found out once.
            flight.made = made_of(flight.x, flight.head, flight.body, at, terms)[0] or ""
        if not isinstance(flight.made, Entry):
            return None
        self._said(look, leads=False)
        return replayed(x, flight.made)

    def _work(self, look: Look) -> Work:
        def keep(flight: Flight, end: End) -> bool:
            return self._keep(look, flight, end)

        async def gate() -> bool:
            return await look.rule.vault.may_refresh(look.scope, look.key, LEASE_S)

        limit = look.rule.max_entry
        return Work(self, look.x, look.name, keep, limit, gate=gate, keys=(look.key,))

    # keeping

    def _keep(self, look: Look, flight: Flight, end: End) -> bool:
        """Keep the answer if it is one to give twice; whether it was."""
        rule = look.rule
        entry = entry_of(flight, end, self._clock.wall(), rule.terms)
        if isinstance(entry, str):
            self._meter.unstored(rule.name, entry)
            rule.vault.release(look.scope, look.key)
            if look.place is not None:
                self._semantics.failed(look.place, flight.error)
            return False
        seconds = entry.ttl + entry.stale + (rule.kept if entry.status == 200 else 0.0)
        rule.vault.keep(look.scope, look.key, entry.pack(), era=look.era, seconds=seconds)
        if look.place is not None:
            self._semantics.learn(look.place, look.key, look.era, entry, look.match)
        return True
