"""Embeddings from the cache, input by input: of a batch only the rest is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from proxy.core.cache import Key
from proxy.core.exchange import End, Exchange, Usage
from proxy.core.fills import Work
from proxy.core.flight import Flight, Follower
from proxy.core.policy import Reply
from proxy.rules.cacheable import CacheRule, facts_of, why_not
from proxy.rules.cached import CachedPolicy
from proxy.rules.cachekey import canonical, material
from proxy.rules.freshness import Wish, state_of
from proxy.wire.embeddings import Input, inputs_of, joined, pieces_of
from proxy.wire.kept import held, left_alone, not_cached, say, unfit, whole_answer
from proxy.wire.replay import Entry

MAX_BATCH: Final = 64 << 20
"""Bytes of an answer that is put together with what is known.  ``max_entry`` is
each input's own.
"""


@dataclass(slots=True)
class _Batch:
    """One request's inputs, their keys, and what is known of each.

    ``layer`` is the farthest of those it comes from.
    """

    x: Exchange
    rule: CacheRule
    wish: Wish
    scope: str
    era: bytes
    inputs: list[Input]
    keys: list[Key]
    facts: bytes
    found: dict[bytes, Entry]
    stale: dict[bytes, int]
    layer: str = "memory"

    def missing(self) -> list[int]:
        """Where the inputs stand that are not known, each once."""
        places: dict[bytes, int] = {}
        for i, key in enumerate(self.keys):
            if key.now not in self.found:
                places.setdefault(key.now, i)
        return list(places.values())

    def served(self) -> list[Entry]:
        """What is known, in the order of the inputs."""
        return [self.found[key.now] for key in self.keys if key.now in self.found]

    def named(self) -> str:
        """The key for ``cache-status``; a batch has as many as inputs and tells none."""
        return f'; key="{self.keys[0].now.hex()}"' if len(self.keys) == 1 else ""


class EmbeddingsPolicy(CachedPolicy):
    """The exact cache of embeddings, for the routes that ``rules`` names."""

    name = "embeddings"

    async def on_request(self, x: Exchange) -> Reply | None:
        """All of the batch from the cache, or the rest from upstream."""
        rule = self._rules.get(x.route)
        if rule is None or x.endpoint.name != "embeddings" or x.body is None:
            return None
        inputs = inputs_of(x.body)
        wish = rule.wish_of(x)
        rest = canonical({k: v for k, v in x.body.items() if k != "input"})
        why = why_not(x, rule, wish, rest) if inputs is not None else "input"
        if inputs is None or why:
            self._meter.result(rule.name, "bypass")
            left_alone(x, why, only_cached=wish.only_cached)
            return None
        batch = self._batch(x, rule, wish, inputs, rest)
        try:
            return await self._answer(batch)
        except BaseException:
            # However it ended, there was no answer here.
            if "cache" not in x.notes:
                self._said(batch, "miss")
            raise

    async def _answer(self, batch: _Batch) -> Reply | None:
        x, rule = batch.x, batch.rule
        await self._find(batch)
        missing = batch.missing()
        if not missing:
            reply = self._hit(batch)
            return held(x, reply) if rule.charges else reply
        if batch.wish.only_cached:
            self._counted(x, rule, "miss")
            raise not_cached(x, "miss", f"detail=not_cached{batch.named()}")
        return await self._fetch(batch, missing)

    def _batch(
        self, x: Exchange, rule: CacheRule, wish: Wish, inputs: list[Input], rest: bytes
    ) -> _Batch:
        facts = material(facts_of(x, rule, self._epochs), rest)
        scope = rule.scope_of(x)
        keys = [rule.vault.key(scope, facts + b"\n" + orjson.dumps(item)) for item in inputs]
        return _Batch(x, rule, wish, scope, rule.vault.era(scope), inputs, keys, facts, {}, {})

    async def _find(self, batch: _Batch) -> None:
        if not batch.wish.reads:
            return
        vault = batch.rule.vault
        for i, key in enumerate(batch.keys):
            self._note(batch, i, vault.near(batch.scope, key))
        missing = batch.missing()
        if missing and vault.is_shared:
            keys = tuple(batch.keys[i] for i in missing)
            found = await vault.far(batch.scope, keys, lease_s=0.0)
            batch.era = vault.era(batch.scope)
            known = len(batch.found)
            for i, data in zip(missing, found.data, strict=True):
                self._note(batch, i, data)
            if len(batch.found) > known:
                batch.layer = "redis"

    def _note(self, batch: _Batch, i: int, data: bytes | None) -> None:
        if data is None:
            return
        try:
            entry = Entry.unpack(data)
        except ValueError:
            self._meter.unstored(batch.rule.name, "form")
            return
        age = self._clock.wall() - entry.at
        state = state_of(age, entry.ttl, entry.stale, batch.wish)
        if state != "expired" and entry.kind == "embeddings":
            batch.found[batch.keys[i].now] = entry
            if state == "stale":
                batch.stale[batch.keys[i].now] = i

    def _hit(self, batch: _Batch) -> Reply:
        x, now = batch.x, self._clock.wall()
        if batch.stale:
            self._fills.refresh(self._work(batch, list(batch.stale.values())))
        entries = batch.served()
        tokens, nanos, age = self._avoided(batch, entries, "stale" if batch.stale else batch.layer)
        if batch.rule.charges:
            x.usage, x.cost_nanos = Usage(tokens), nanos
        left = min(entry.at + entry.ttl for entry in entries) - now
        say(x, "stale" if batch.stale else "hit", f"hit; ttl={int(left)}{batch.named()}")
        # All of them are of one target, which is part of their keys.
        x.source = entries[0].target
        x.answer_headers.append((b"age", b"%d" % int(age)))
        return whole_answer(joined([(entry.whole, entry.usage[0]) for entry in entries]))

    def _avoided(
        self, batch: _Batch, entries: Sequence[Entry], result: str
    ) -> tuple[int, int, float]:
        """Count what ``entries`` spared: tokens, billionths of a dollar; and their age."""
        tokens, nanos = _worth(entries)
        age = max(0.0, self._clock.wall() - min(entry.at for entry in entries))
        self._meter.hit(batch.rule.name, result, age, tokens, nanos)
        batch.x.notes |= {
            "cache": result,
            "tokens_avoided": str(tokens),
            "usd_avoided": f"{nanos / 1e9:.9f}",
        }
        return tokens, nanos, age

    async def _fetch(self, batch: _Batch, missing: list[int]) -> Reply | None:
        """Ask for what is missing, and put the batch together."""
        work = self._work(batch, missing)
        if batch.rule.charges and batch.found:
            work.x.spared = _worth(batch.served())
        follower = await self._fills.join(work)
        reply: Reply | None = follower
        word, more = "miss", ""
        if follower is not None and not follower.leads:
            word, more = "follow", "; collapsed"
        if follower is not None and follower.head.status == 200 and len(missing) < len(batch.keys):
            try:
                reply = await self._joined(batch, missing, follower)
            finally:
                follower.close()
            if reply is None:
                word, more = "miss", ""
            elif batch.found:
                word, more = "partial", "; detail=partial"
        self._said(batch, word, more)
        return reply

    def _said(self, batch: _Batch, word: str, more: str = "") -> None:
        if word == "partial":
            self._avoided(batch, batch.served(), word)
        else:
            self._counted(batch.x, batch.rule, word)
        why = "miss" if batch.wish.reads else "request"
        say(batch.x, word, f"fwd={why}{more}{batch.named()}")

    async def _joined(self, batch: _Batch, missing: list[int], part: Follower) -> Reply | None:
        if not await part.whole():
            return None
        pieces = pieces_of(part.flight.body, [batch.inputs[i] for i in missing])
        if pieces is None:
            return None
        known = {key: (entry.whole, entry.usage[0]) for key, entry in batch.found.items()}
        known |= {batch.keys[i].now: piece for i, piece in zip(missing, pieces, strict=True)}
        return whole_answer(joined([known[key.now] for key in batch.keys]))

    def _work(self, batch: _Batch, places: Sequence[int]) -> Work:
        x, body = batch.x, batch.x.body
        assert body is not None
        asked: list[Any] = [batch.inputs[i] for i in places]
        name = batch.rule.vault.key(batch.scope, b"batch\n" + batch.facts + orjson.dumps(asked))

        def keep(flight: Flight, end: End) -> bool:
            return self._keep(batch, places, flight, end)

        if len(asked) < len(batch.inputs):
            x = x.twin()
            x.body = {**body, "input": asked}
            x.raw = orjson.dumps(x.body)
        limit = min(batch.rule.max_entry * len(asked), MAX_BATCH)
        keys = [batch.keys[i] for i in places]
        return Work(self, x, name.now + batch.era, keep, limit, asker=batch.x, keys=keys)

    def _keep(self, batch: _Batch, places: Sequence[int], flight: Flight, end: End) -> bool:
        """Keep each input's own part."""
        rule, fx = batch.rule, flight.x
        pieces = _pieces(batch, places, flight, end)
        if isinstance(pieces, str):
            self._meter.unstored(rule.name, pieces)
            return False
        at, terms = self._clock.wall(), rule.terms
        total = sum(share for _, share in pieces) or 1
        paid = (fx.cost_nanos or 0) - (fx.spared[1] if fx.spared is not None else 0)
        pairs: list[tuple[Key, bytes]] = []
        for i, (piece, share) in zip(places, pieces, strict=True):
            if len(piece) > rule.max_entry:
                continue
            entry = Entry(
                at=at, ttl=terms.ttl, stale=terms.stale, kind="embeddings", usage=(share, 0),
                target=fx.target.name if fx.target is not None else "",
                cost=max(0, paid) * share // total, whole=piece,
            )  # fmt: skip
            pairs.append((batch.keys[i], entry.pack()))
        if len(pairs) < len(pieces):
            self._meter.unstored(rule.name, "size")
        seconds = terms.ttl + terms.stale
        rule.vault.keep_all(batch.scope, pairs, era=batch.era, seconds=seconds)
        return bool(pairs)


def _pieces(
    batch: _Batch, places: Sequence[int], flight: Flight, end: End
) -> list[tuple[bytes, int]] | str:
    """Each input's own part of the answer, or in a word why none is kept."""
    if why := unfit(flight, end):
        return why
    assert flight.head is not None
    if flight.head.status != 200:
        return "status"
    return pieces_of(flight.body, [batch.inputs[i] for i in places]) or "incomplete"


def _worth(entries: Sequence[Entry]) -> tuple[int, int]:
    """What ``entries`` would cost again: tokens, billionths of a dollar."""
    return sum(entry.usage[0] for entry in entries), sum(entry.cost for entry in entries)
