"""Semantic caches: what they keep over reloads, and what they need that is an extra."""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from proxy.config import schema
from proxy.core.ports import Clock, Tasks
from proxy.core.semantic import AnswerJudge, Questions, ScopedEmbedder
from proxy.embedding import Embedders, judge_of
from proxy.observe.semantic import SemanticMeter
from proxy.rules.likeness import Likeness
from proxy.rules.trials import ScopedTrials
from proxy.semantic.agreement import agree
from proxy.semantic.alike import LexicalGuard
from proxy.semantic.finder import Semantics
from proxy.stores.cache_redis import Shared
from proxy.stores.sealed import Master
from proxy.upstream.target import Upstream

LEXICON: Final = Path(__file__).parent / "semantic" / "lexicon.yaml"


def lexical_guard() -> LexicalGuard:
    """Knows the words that this program ships; takes some 25 ms and 5 MB."""
    return LexicalGuard(LEXICON.read_bytes())


@dataclass(slots=True)
class _Kept:
    """Of one cache under one key: its questions, and how well they served."""

    name: str
    questions: Questions
    trials: ScopedTrials
    likeness: Likeness | None = None


class Meanings:
    """Makes the ``Likeness`` of caches, and holds what outlives a reload."""

    def __init__(self, shared: Shared, tasks: Tasks, clock: Clock) -> None:
        self._shared = shared
        self._tasks = tasks
        self._clock = clock
        self._meter = SemanticMeter()
        self._kept: dict[bytes, _Kept] = {}
        self._next: dict[bytes, tuple[_Kept, Likeness, int]] = {}
        self._embedders = Embedders(clock.now)
        chance = random.Random().random  # noqa: S311 - a sample, not a secret
        self._guard: LexicalGuard | None = None
        self.finder = Semantics(shared, self._differ, tasks, clock, chance, self._meter)

    def _differ(self, one: str, other: str) -> str:
        assert self._guard is not None
        return self._guard.why_different(one, other)

    def likenesses(
        self,
        settings: schema.Settings,
        upstreams: Mapping[str, Upstream],
        secret_of: Callable[[schema.Cache], bytes],
    ) -> dict[str, Likeness]:
        """What each cache in use does with questions that mean the same.

        ``secret_of`` gives master keys.  Raises ``ConfigError`` if something
        that is needed is not there.
        """
        self._next = {}
        embedders = self._embedders.by_cache(settings, upstreams)
        if embedders and self._guard is None:
            self._guard = lexical_guard()
        made = {}
        for name, embedder in embedders.items():
            cache = settings.cache[name]
            judge = judge_of(cache, upstreams, self._clock.now)
            made[name] = self._likeness(name, cache, secret_of(cache), embedder, judge)
        return made

    def adopt(self) -> None:
        """Keep what ``likenesses`` made last, and forget the rest."""
        self._embedders.adopt()
        self._kept = {ident: kept for ident, (kept, _, _) in self._next.items()}
        for kept, likeness, limit in self._next.values():
            kept.likeness, kept.questions.limit = likeness, limit

    def _likeness(
        self,
        name: str,
        cache: schema.Cache,
        secret: bytes,
        embedder: ScopedEmbedder,
        judge: AnswerJudge | None,
    ) -> Likeness:
        asked = cache.semantic
        assert asked is not None
        assert asked.embed is not None
        assert asked.mode != "off"
        assert self._guard is not None
        by = f"{asked.judge.upstream}/{asked.judge.model}" if asked.judge is not None else ""
        what = f"{name}\0{asked.threshold}\0{embedder.ident}\0{by}".encode()
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
            verify=asked.verify,
            max_error=asked.max_error,
            timeout_s=float(asked.embed.timeout),
            embedder=embedder,
            questions=kept.questions,
            trials=kept.trials,
            agrees=partial(agree, lexicon=self._guard.lexicon),
            judge=judge,
        )
        self._next[ident] = kept, likeness, cache.max_size
        return likeness

    def forget(self, scope: str) -> None:
        """Forget the questions of a scope, or ("") all."""
        for kept in self._kept.values():
            kept.questions.forget(scope)

    def status(self) -> dict[str, object]:
        """Plain facts for ``/status``, by cache."""
        return {kept.name: self._facts(kept) for kept in self._kept.values() if kept.likeness}

    def _facts(self, kept: _Kept) -> dict[str, object]:
        like, trials = kept.likeness, kept.trials.whole
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
            "verified": trials.number,
            "wrong": trials.wrong,
            "error_at_most": round(trials.at_most, 4),
        }

    def close(self) -> None:
        """End models in this process."""
        self._embedders.close()

    def collect(self) -> Iterator[Metric]:
        """Metric families of semantic caches."""
        yield from self._meter.collect()
        what: tuple[tuple[str, str, Callable[[_Kept], float]], ...] = (
            (
                "error_at_most",
                "Share of wrong answers among the verified, upper bound of 95 % confidence",
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
