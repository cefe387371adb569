"""Semantic caches: what they keep over reloads, and what they need that is an extra."""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from proxy.config import schema
from proxy.core.exchange import Usage
from proxy.core.ports import Clock, Tasks
from proxy.core.semantic import AnswerJudge, Questions, ScopedEmbedder
from proxy.embedding import (
    Embedders,
    embeds_of,
    judge_of,
    lack_of,
    model_paid_for,
)
from proxy.observe.semantic import SemanticMeter
from proxy.rules.estimate import Learned, sizes_of
from proxy.rules.likeness import Likeness
from proxy.rules.prices import Price, cost_nanos
from proxy.rules.trials import ScopedTrials
from proxy.semantic.agreement import compare
from proxy.semantic.alike import LexicalGuard
from proxy.semantic.finder import Semantics
from proxy.stores.cache_redis import Shared
from proxy.stores.sealed import Master
from proxy.upstream.target import Upstream

LEXICON: Final = Path(__file__).parent / "semantic" / "lexicon.yaml"
NEVER: Final = 2.0
"""More than any cosine."""
GUESS: Final = Learned()
"""Has learned nothing: nobody tells it what was counted."""


def lexical_guard() -> LexicalGuard:
    """Knows the words that this program ships; takes some 25 ms and 5 MB."""
    return LexicalGuard(LEXICON.read_bytes())


def tokens_of(text: str) -> int:
    """About how many tokens a text has."""
    return GUESS.prompt(sizes_of(text.encode("utf-8", "replace")))[0]


@dataclass(slots=True)
class _Kept:
    """Of one cache under one key: its questions, and how well they served.

    ``price`` is that of its embeddings, if they have one that is known.
    """

    name: str
    questions: Questions
    trials: ScopedTrials
    likeness: Likeness | None = None
    price: Price | None = None


class _Planned(NamedTuple):
    """What one cache is to do from now on; ``limit`` is in bytes."""

    kept: _Kept
    likeness: Likeness
    limit: int
    price: Price | None


class _Next(NamedTuple):
    """What was made and does not serve yet; ``lacks`` says by cache what is missing."""

    lacks: dict[str, str]
    planned: dict[bytes, _Planned]


class Meanings:
    """Makes the ``Likeness`` of caches, and holds what outlives a reload."""

    def __init__(self, shared: Shared, tasks: Tasks, clock: Clock) -> None:
        self._shared = shared
        self._tasks = tasks
        self._clock = clock
        self._meter = SemanticMeter(tokens_of)
        self._kept: dict[bytes, _Kept] = {}
        self._embedders = Embedders(clock.now, self._meter)
        self._lacks: dict[str, str] = {}
        self._next = _Next({}, {})
        chance = random.Random().random  # noqa: S311 - a sample, not a secret
        self._guard: LexicalGuard | None = None
        self.finder = Semantics(shared, self._differ, tasks, clock, chance, self._meter)

    def _differ(self, one: str, other: str, is_lenient: bool) -> str:  # noqa: FBT001 - a callback
        assert self._guard is not None
        return self._guard.why_different(one, other, is_lenient=is_lenient)

    def likenesses(
        self,
        settings: schema.Settings,
        upstreams: Mapping[str, Upstream],
        secret_of: Callable[[schema.Cache], bytes],
        find_price: Callable[[str], Price | None],
    ) -> dict[str, Likeness]:
        """What each cache in use does with questions that mean the same.

        ``secret_of`` gives master keys.  Raises ``ConfigError`` if something
        that is needed is not there.
        """
        self._next = _Next({}, {})
        embedders = self._embedders.by_cache(settings, upstreams)
        asked = embeds_of(settings)
        lacks = {name: lack for name, embed in asked.items() if (lack := lack_of(embed))}
        if embedders and self._guard is None:
            self._guard = lexical_guard()
        planned = {}
        for name, embedder in embedders.items():
            cache = settings.cache[name]
            judge = judge_of(cache, upstreams, self._clock.now)
            paid = model_paid_for(asked[name])
            price = find_price(paid) if paid else None
            ident, kept, likeness = self._likeness(name, cache, secret_of(cache), embedder, judge)
            planned[ident] = _Planned(kept, likeness, cache.max_size, price)
        self._next = _Next(lacks, planned)
        return {one.kept.name: one.likeness for one in planned.values()}

    def adopt(self) -> None:
        """Keep what ``likenesses`` made last, and forget the rest."""
        self._embedders.adopt()
        self._lacks, planned = self._next
        self._kept = {ident: one.kept for ident, one in planned.items()}
        for kept, likeness, limit, price in planned.values():
            kept.likeness, kept.questions.limit, kept.price = likeness, limit, price

    def _likeness(
        self,
        name: str,
        cache: schema.Cache,
        secret: bytes,
        embedder: ScopedEmbedder,
        judge: AnswerJudge | None,
    ) -> tuple[bytes, _Kept, Likeness]:
        asked = cache.semantic
        assert asked is not None
        assert asked.embed is not None
        assert asked.mode != "off"
        assert self._guard is not None
        by = f"{asked.judge.upstream}/{asked.judge.model}" if asked.judge is not None else ""
        forgive = NEVER if asked.forgive is None else asked.forgive
        what = f"{name}\0{asked.threshold}\0{forgive}\0{embedder.ident}\0{by}".encode()
        ident = blake2b(what + secret, digest_size=16).digest()
        kept = self._kept.get(ident)
        if kept is None:
            # It stands on the extra, so nobody else imports it.
            module = importlib.import_module("proxy.stores.questions")
            questions = module.KeptQuestions(
                self._shared, Master(secret, "vector"), self._tasks, self._clock,
                is_far=self._shared.has_store and bool(cache.encrypt),
            )  # fmt: skip
            kept = _Kept(name, questions, ScopedTrials())
        likeness = Likeness(
            mode=asked.mode,
            threshold=asked.threshold,
            forgive=forgive,
            verify=asked.verify,
            max_error=asked.max_error,
            timeout_s=float(asked.embed.timeout),
            embedder=embedder,
            questions=kept.questions,
            trials=kept.trials,
            compare=partial(compare, lexicon=self._guard.lexicon),
            judge=judge,
        )
        return ident, kept, likeness

    def forget(self, scope: str) -> None:
        """Forget the questions of a scope, or ("") all."""
        for kept in self._kept.values():
            kept.questions.forget(scope)

    def status(self) -> dict[str, object]:
        """Plain facts for ``/status``, by cache."""
        without = {name: {"state": "off", "reason": lack} for name, lack in self._lacks.items()}
        return without | {
            kept.name: self._facts(kept) for kept in self._kept.values() if kept.likeness
        }

    def _facts(self, kept: _Kept) -> dict[str, object]:
        like, looked, decided = kept.likeness, kept.trials.looked, kept.trials.whole
        assert like is not None
        return {
            "state": "suspended" if like.mode == "on" and not _serves(kept) else like.mode,
            "suspended_scopes": _suspended(kept),
            "threshold": like.threshold,
            "questions": len(kept.questions),
            "bytes": kept.questions.size,
            "rejected": kept.questions.rejected,
            **{result: n for (name, result), n in self._meter.results.items() if name == kept.name},
            "refused": {
                why: n for (name, why), n in self._meter.refused.items() if name == kept.name
            },
            "embeddings": self._embeddings(kept),
            "verified": decided.number,
            "wrong": decided.wrong,
            "undecided": looked.undecided,
            "error_at_most": round(looked.at_most, 4),
            "error_at_most_decided": round(decided.at_most, 4),
        }

    def _embeddings(self, kept: _Kept) -> dict[str, object]:
        """What vectors took, of all tenants; dollars only where the price is known."""
        calls = [(result, n) for (name, _, result), n in self._meter.calls.items()
                 if name == kept.name]  # fmt: skip
        made = sum(n for result, n in calls if result == "made")
        tokens = sum(n for (name, _), n in self._meter.tokens.items() if name == kept.name)
        usd = None
        if kept.price is not None:
            usd = (cost_nanos(kept.price, Usage(tokens)) + kept.price.request * (made - 1)) / 1e9
        return {"calls": sum(n for _, n in calls), "made": made, "tokens": tokens, "usd": usd}

    def close(self) -> None:
        """End models in this process."""
        self._embedders.close()

    def collect(self) -> Iterator[Metric]:
        """Metric families of semantic caches."""
        yield from self._meter.collect()
        what: tuple[tuple[str, str, Callable[[_Kept], float]], ...] = (
            (
                "error_at_most",
                "Share of wrong answers, the undecided among them, upper bound of 95 % confidence",
                lambda kept: kept.trials.looked.at_most,
            ),
            (
                "error_at_most_decided",
                "The same among those alone of which it could be told",
                lambda kept: kept.trials.whole.at_most,
            ),
            (
                "serves",
                "Whether near questions are answered; 0 while it only measures",
                lambda kept: float(_serves(kept)),
            ),
            (
                "suspended_scopes",
                "Tenants that are not answered near questions, as theirs were proven wrong",
                _suspended,
            ),
            ("questions", "Questions in memory", lambda kept: len(kept.questions)),
            ("bytes", "Bytes of questions and vectors", lambda kept: kept.questions.size),
            (
                "rejected",
                "Questions that could not be opened: altered, or sealed by another key",
                lambda kept: kept.questions.rejected,
            ),
        )
        for name, text, value in what:
            family = GaugeMetricFamily(f"sidestream_cache_semantic_{name}", text, labels=("cache",))
            for kept in self._kept.values():
                family.add_metric((kept.name,), value(kept))
            yield family


def _serves(kept: _Kept) -> bool:
    """Whether it answers those of whom nothing is proven."""
    like = kept.likeness
    if like is None or like.mode != "on":
        return False
    return not kept.trials.is_bad_for_all(like.max_error)


def _suspended(kept: _Kept) -> int:
    like = kept.likeness
    if like is None or like.mode != "on":
        return 0
    return kept.trials.bad_scopes(like.max_error)
