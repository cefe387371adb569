"""What a route's cache may do with questions that mean the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from proxy.core.semantic import AnswerJudge, Questions, ScopedEmbedder
from proxy.rules.trials import ScopedTrials


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """How near a question must be, who tells, and how well that has worked.

    From a cosine of ``forgive`` on words are forgiven that one question lacks.
    ``verify`` is the share of answers that are checked; with more than
    ``max_error`` of them proven wrong it only measures.  ``timeout_s`` is how
    long a request waits for a vector.  Answers in other words say the same by
    the ``judge``, or where there is none by ``compare``, of the two and their
    cosine, which may not be able to tell.
    """

    mode: Literal["shadow", "on"]
    threshold: float
    forgive: float
    verify: float
    max_error: float
    timeout_s: float
    embedder: ScopedEmbedder
    questions: Questions
    trials: ScopedTrials
    compare: Callable[[str, str, float], bool | None]
    judge: AnswerJudge | None = None

    def serves(self, scope: str) -> bool:
        """Whether it answers a scope, or only measures what it would."""
        return self.mode == "on" and not self.trials.is_bad(scope, self.max_error)
