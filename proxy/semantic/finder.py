"""Finds the answer to a question that means the same, and learns from answers.

No stage: the cache asks it between what it has and what it must ask for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from proxy.core.cache import Epochs, Key
from proxy.core.errors import ProxyError
from proxy.core.exchange import Exchange
from proxy.core.ports import Clock, Tasks
from proxy.core.semantic import Asked, ScopedEmbedder, Vector
from proxy.observe.semantic import SemanticMeter
from proxy.rules.cacheable import CacheRule, facts_of
from proxy.rules.cachekey import canonical, material
from proxy.rules.freshness import NO_WISH, Wish, state_of
from proxy.rules.likeness import Likeness
from proxy.semantic.agreement import MAX_LENGTH, cosine, same_words
from proxy.wire.answer_text import contents_of
from proxy.wire.events import event_of
from proxy.wire.questions import question_of
from proxy.wire.replay import Entry

FINISHED: Final = ("stop", "completed")
"""Finish reasons of answers that say all there is to say."""

MOST: Final = 4
"""Near questions that are looked at."""

LATER_S: Final = 1.0
"""How long a vector may take that nobody waits for."""

MAX_LEARNING: Final = 64
"""Answers that are learned from at once; what comes meanwhile is not."""

TOO_MANY: Final = 429
REST_S: Final = 60.0
"""How long at most a tenant goes without, whose requests are refused."""

MAX_RESTS: Final = 1000


class Match(NamedTuple):
    """The answer to a question that means the same, and how near that is.

    ``is_sampled`` says that it is to be held against the upstream's own;
    ``question`` is what the entry was the answer to.
    """

    entry: Entry
    key: Key
    cosine: float
    is_sampled: bool
    question: str


class Place(NamedTuple):
    """A question and where the likes of it are kept, as of when it was asked."""

    tenant: str
    text: str
    scope: str
    frame: bytes
    kind: str


class Semantics:
    """For routes whose cache rule has a ``likeness``.

    ``differ`` says in a word why two questions that are near do not mean the
    same; ``chance`` is from 0 to 1.
    """

    def __init__(
        self,
        epochs: Epochs,
        differ: Callable[[str, str], str],
        tasks: Tasks,
        clock: Clock,
        chance: Callable[[], float],
        meter: SemanticMeter,
    ) -> None:
        self._epochs = epochs
        self._differ = differ
        self._tasks = tasks
        self._clock = clock
        self._chance = chance
        self._meter = meter
        self._learning = 0
        self._rests: dict[str, float] = {}

    def place(self, x: Exchange, rule: CacheRule) -> Place | None:
        """Where to look for the likes of ``x``; ``None`` if it is no question or nobody looks."""
        assert x.body is not None
        question = question_of(x.endpoint.name, x.body) if rule.likeness is not None else None
        if question is None or rule.likeness is None:
            return None
        scope = rule.scope_of(x)
        facts = (*facts_of(x, rule, self._epochs), rule.likeness.embedder.ident)
        frame = rule.vault.key(scope, b"frame\n" + material(facts, canonical(question.rest)))
        return Place(x.tenant, question.text, scope, frame.now, x.endpoint.name)

    async def find(self, place: Place, rule: CacheRule, wish: Wish) -> Match | None:
        """What answers a question, if anything does and may."""
        like = rule.likeness
        if like is None or not like.serves(place.scope):
            return None
        if self._rests.get(place.tenant, 0.0) > self._clock.now():
            return None
        vector = await _vector(like.embedder, place, like.timeout_s)
        if vector is None:
            self._meter.result(rule.name, "no_vector")
            return None
        match = await self._match(place, rule, like, vector, wish)
        self._meter.result(rule.name, "miss" if match is None else "hit")
        return match

    def failed(self, place: Place, error: ProxyError | None) -> None:
        """No answer came from upstream.

        Who is refused there gets no embeddings for a while, which nobody
        counts; nor answers that could not be checked.
        """
        if error is not None and error.status == TOO_MANY:
            if len(self._rests) >= MAX_RESTS:
                self._rests.clear()
            wait = min(error.retry_after or REST_S, REST_S)
            self._rests[place.tenant] = self._clock.now() + wait

    async def _match(
        self, place: Place, rule: CacheRule, like: Likeness, vector: Vector, wish: Wish
    ) -> Match | None:
        """The nearest whose words say the same and whose answer is still fresh."""
        await like.questions.hear(place.scope, place.frame)
        near = like.questions.near(place.scope, place.frame, vector, like.threshold, MOST)
        for asked in near:
            why = self._differ(place.text, asked.text)
            if why:
                self._meter.refusal(rule.name, why)
                continue
            key = Key(asked.name)
            entry = await self._entry(rule, place, key)
            if entry is None:
                like.questions.drop(place.scope, place.frame, asked.name)
            elif state_of(self._clock.wall() - entry.at, entry.ttl, 0.0, wish) == "fresh":
                match = Match(entry, key, asked.cosine, is_sampled=False, question=asked.text)
                is_sampled = self._chance() < like.verify and _is_evidence(like, place, match)
                return match._replace(is_sampled=is_sampled)
        return None

    async def _entry(self, rule: CacheRule, place: Place, key: Key) -> Entry | None:
        data = rule.vault.near(place.scope, key)
        if data is None and rule.vault.is_shared:
            data = (await rule.vault.far(place.scope, (key,), lease_s=0.0)).data[0]
        if data is None:
            return None
        try:
            entry = Entry.unpack(data)
        except ValueError:
            return None
        return entry if entry.kind == place.kind and entry.status == 200 else None

    # learning

    def learn(
        self,
        place: Place,
        rule: CacheRule,
        key: Key,
        era: bytes,
        entry: Entry,
        match: Match | None,
    ) -> None:
        """Take in that a question was answered by ``entry``, kept under ``key``.

        ``match`` was served in its stead.
        """
        if entry.status != 200 or entry.finish not in FINISHED or not _said(entry):
            return
        if self._learning < MAX_LEARNING:
            self._learning += 1
            self._tasks.begin(self._learn(place, rule, key, era, entry, match))

    async def _learn(
        self,
        place: Place,
        rule: CacheRule,
        key: Key,
        era: bytes,
        entry: Entry,
        match: Match | None,
    ) -> None:
        like = rule.likeness
        assert like is not None
        try:
            vector = await _vector(like.embedder, place, LATER_S)
            if vector is None:
                if not like.serves(place.scope):  # else it was counted when it was looked for
                    self._meter.result(rule.name, "no_vector")
                return
            if match is None and not like.serves(place.scope):
                match = await self._match(place, rule, like, vector, NO_WISH)
                if match is None or match.key.now != key.now:
                    self._meter.result(rule.name, "miss" if match is None else "would_hit")
            if match is not None and match.key.now != key.now:
                await self._verify(rule, place, match, _said(entry))
            asked = Asked(1.0, place.text, key.now)
            like.questions.add(
                place.scope, place.frame, asked, vector, era=era, seconds=entry.ttl + entry.stale
            )
        finally:
            self._learning -= 1

    async def _verify(self, rule: CacheRule, place: Place, match: Match, said: str) -> None:
        """Hold what was or would have been served against what the upstream says."""
        like = rule.likeness
        assert like is not None
        served, name = _said(match.entry), match.key.now
        if not _is_evidence(like, place, match):
            return
        is_same: bool | None = same_words(served, said)
        if not is_same:
            is_same = await _is_same(like, place, served, said)
        serves = like.serves(place.scope)
        if is_same is not None and like.trials.add(place.scope, name, is_wrong=not is_same):
            self._meter.verdict(rule.name, is_wrong=not is_same)
            if like.mode == "on" and like.serves(place.scope) is not serves:
                self._meter.turned(rule.name, place.tenant, serves=not serves)


def _is_evidence(like: Likeness, place: Place, match: Match) -> bool:
    """Whether it proves anything that ``match`` is right or wrong.

    Once for each served answer, and not where the questions are the same words:
    nobody is to make as much evidence as they like.
    """
    return like.trials.wants(match.key.now) and not same_words(place.text, match.question)


async def _is_same(like: Likeness, place: Place, served: str, said: str) -> bool | None:
    """Whether answers in other words say the same; ``None`` if nobody can tell now."""
    if like.judge is not None:
        return await like.judge.is_same(place.text, served, said)
    if max(len(served), len(said)) > MAX_LENGTH:
        return False
    vectors = await like.embedder.embed([served, said], LATER_S, place.scope)
    if vectors is None or len(vectors[0]) != len(vectors[1]):
        return None
    return like.agrees(served, said, cosine(*vectors))


async def _vector(embedder: ScopedEmbedder, place: Place, timeout_s: float) -> Vector | None:
    vectors = await embedder.embed([place.text], timeout_s, place.scope)
    return vectors[0] if vectors else None


def _said(entry: Entry) -> str:
    """What a stored answer says to the person."""
    whole = event_of(entry.whole)
    return "\n".join(p.text for p in contents_of(whole, grows=False)) if whole is not None else ""
