"""What a route's cache may do with questions that mean the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from proxy.core.semantic import Questions, ScopedEmbedder
from proxy.rules.trials import Trials


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """How near a question must be, who tells, and how well that has worked.

    ``verify`` is the share of answers that are checked; with more than
    ``max_error`` of them proven wrong it only measures.  ``timeout_s`` is how
    long a request waits for a vector.
    """

    mode: Literal["shadow", "on"]
    threshold: float
    verify: float
    max_error: float
    timeout_s: float
    embedder: ScopedEmbedder
    questions: Questions
    trials: Trials

    @property
    def serves(self) -> bool:
        """Whether it answers, or only measures what it would."""
        return self.mode == "on" and self.trials.at_least <= self.max_error
