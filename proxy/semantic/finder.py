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
from proxy.core.semantic import Asked, Vector
from proxy.observe.semantic import SemanticMeter, Verdict
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
    """A question of ``request`` and where the likes of it are kept, as of when it was asked."""

    request: str
    tenant: str
    text: str
    scope: str
    frame: bytes
    kind: str
    rule: CacheRule
    like: Likeness

    @property
    def is_served(self) -> bool:
        """Whether near questions are answered here, or only measured."""
        return self.like.serves(self.scope)


class Lesson(NamedTuple):
    """A question was answered by ``entry``, which says ``said`` and is kept under ``key``.

    ``era`` is that of the scope when it was asked; ``match`` was served in its stead.
    """

    place: Place
    key: Key
    era: bytes
    entry: Entry
    said: str
    match: Match | None


class Semantics:
    """For routes whose cache rule has a ``likeness``.

    ``differ`` says in a word why two questions that are near do not mean the
    same; if it is to be lenient, less says so.  ``chance`` is from 0 to 1.
    """

    def __init__(
        self,
        epochs: Epochs,
        differ: Callable[[str, str, bool], str],
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
        like = rule.likeness
        if like is None:
            return None
        assert x.body is not None
        question = question_of(x.endpoint.name, x.body)
        if question is None:
            return None
        scope = rule.scope_of(x)
        facts = (*facts_of(x, rule, self._epochs), like.embedder.ident)
        frame = rule.vault.key(scope, b"frame\n" + material(facts, canonical(question.rest)))
        kind = x.endpoint.name
        return Place(x.id, x.tenant, question.text, scope, frame.now, kind, rule, like)

    async def find(self, place: Place, wish: Wish) -> Match | None:
        """What answers a question, if anything does and may."""
        if not place.is_served or self._rests.get(place.tenant, 0.0) > self._clock.now():
            return None
        vector = await _vector(place, place.like.timeout_s)
        if vector is None:
            self._result(place, "no_vector")
            return None
        match = await self._match(place, vector, wish)
        self._result(place, "miss" if match is None else "hit")
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

    def _result(self, place: Place, result: str) -> None:
        self._meter.result(place.rule.name, result)

    async def _match(self, place: Place, vector: Vector, wish: Wish) -> Match | None:
        """The nearest whose words say the same and whose answer is still fresh."""
        like, questions = place.like, place.like.questions
        await questions.hear(place.scope, place.frame)
        for asked in questions.near(place.scope, place.frame, vector, like.threshold, MOST):
            why = self._differ(place.text, asked.text, asked.cosine >= like.forgive)
            if why:
                self._meter.refusal(place.rule.name, why)
                continue
            key = Key(asked.name)
            entry = await _entry(place, key)
            if entry is None:
                continue
            if state_of(self._clock.wall() - entry.at, entry.ttl, 0.0, wish) == "fresh":
                match = Match(entry, key, asked.cosine, is_sampled=False, question=asked.text)
                is_sampled = self._chance() < like.verify and _is_evidence(place, match)
                return match._replace(is_sampled=is_sampled)
        return None

    # learning

    def learn(self, place: Place, key: Key, era: bytes, entry: Entry, match: Match | None) -> None:
        """Take in that a question was answered; of too many at once not all are.

        The arguments are as in ``Lesson``.
        """
        if self._learning >= MAX_LEARNING or entry.status != 200 or entry.finish not in FINISHED:
            return
        said = _said(entry)
        if said:
            self._learning += 1
            self._tasks.begin(self._learn(Lesson(place, key, era, entry, said, match)))

    async def _learn(self, lesson: Lesson) -> None:
        place, match, entry = lesson.place, lesson.match, lesson.entry
        try:
            vector = await _vector(place, LATER_S)
            if vector is None:
                if not place.is_served:  # else it was counted when it was looked for
                    self._result(place, "no_vector")
                return
            if match is None and not place.is_served:
                match = await self._match(place, vector, NO_WISH)
                if match is None or match.key.now != lesson.key.now:
                    self._result(place, "miss" if match is None else "would_hit")
            if match is not None and match.key.now != lesson.key.now:
                verdict = await self._verdict(lesson, match)
                self._meter.compared(
                    place.rule.name, place.request, match.entry.asker, match.cosine, verdict,
                    is_served=match is lesson.match,
                )  # fmt: skip
            place.like.questions.add(
                place.scope, place.frame, Asked(1.0, place.text, lesson.key.now), vector,
                era=lesson.era, seconds=entry.ttl + entry.stale,
            )  # fmt: skip
        finally:
            self._learning -= 1

    async def _verdict(self, lesson: Lesson, match: Match) -> Verdict:
        """Hold what was or would have been served against what the upstream says."""
        place, like = lesson.place, lesson.place.like
        if not _is_evidence(place, match):
            return "not compared"
        verdict = await _compared(place, _said(match.entry), lesson.said)
        if verdict == "unknown":
            return verdict
        before = place.is_served
        is_wrong = None if verdict == "undecided" else verdict == "wrong"
        if like.trials.add(place.scope, match.key.now, is_wrong=is_wrong):
            self._meter.verdict(place.rule.name, verdict)
            if like.mode == "on" and place.is_served is not before:
                self._meter.turned(place.rule.name, place.tenant, serves=not before)
        return verdict


async def _entry(place: Place, key: Key) -> Entry | None:
    """The answer that is kept under ``key``, if it can be one to this question; a
    question without one is forgotten.
    """
    vault = place.rule.vault
    data = vault.near(place.scope, key)
    if data is None:
        found = await vault.far(place.scope, (key,), lease_s=0.0)
        if not found.is_known:
            return None
        data = found.data[0]
    entry = _read(place, data) if data is not None else None
    if entry is None:
        place.like.questions.drop(place.scope, place.frame, key.now)
    return entry


def _read(place: Place, data: bytes) -> Entry | None:
    try:
        entry = Entry.unpack(data)
    except ValueError:
        return None
    return entry if entry.kind == place.kind and entry.status == 200 else None


def _is_evidence(place: Place, match: Match) -> bool:
    """Whether it proves anything that ``match`` is right or wrong.

    Once for each served answer, and not where the questions are the same words:
    nobody is to make as much evidence as they like.
    """
    return place.like.trials.wants(match.key.now) and not same_words(place.text, match.question)


async def _compared(place: Place, served: str, said: str) -> Verdict:
    """Whether one was right in the place of the other."""
    like = place.like
    if same_words(served, said):
        return "right"
    if like.judge is not None:
        is_same = await like.judge.is_same(place.text, served, said)
        return "unknown" if is_same is None else "right" if is_same else "wrong"
    # What the longest is about can be told from its beginning.
    starts = [served[:MAX_LENGTH], said[:MAX_LENGTH]]
    vectors = await like.embedder.embed(starts, LATER_S, place.scope)
    if vectors is None or len(vectors[0]) != len(vectors[1]):
        return "unknown"
    is_same = like.compare(served, said, cosine(*vectors))
    return "undecided" if is_same is None else "right" if is_same else "wrong"


async def _vector(place: Place, timeout_s: float) -> Vector | None:
    vectors = await place.like.embedder.embed([place.text], timeout_s, place.scope)
    return vectors[0] if vectors else None


def _said(entry: Entry) -> str:
    """What a stored answer says to the person."""
    whole = event_of(entry.whole)
    return "\n".join(p.text for p in contents_of(whole, grows=False)) if whole is not None else ""
