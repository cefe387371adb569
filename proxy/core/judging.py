"""What judges are asked and say, and the port to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Role = Literal["system", "user", "assistant", "tool", "other"]


@dataclass(frozen=True, slots=True)
class Said:
    """A text and whose words it is."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a guard found: a category, or nothing; or that it could not judge.

    ``category`` is empty where nothing was found.  ``failure`` says in a word
    why there is no verdict (``timeout``, ``unreachable``, ``status 500``).
    """

    category: str = ""
    failure: str = ""

    @property
    def word(self) -> Literal["pass", "hit", "error"]:
        """For counters."""
        return "error" if self.failure else "hit" if self.category else "pass"


PASS = Verdict()


@dataclass(frozen=True, slots=True)
class Case:
    """Texts to be judged, and by which guard."""

    guard: str
    texts: tuple[Said, ...]


class Jury(Protocol):
    """Judges that are asked over the network.

    Never raises and always answers in time: a judge that is late, gone or
    makes no sense gives a ``Verdict`` with a ``failure``.
    """

    async def judge(self, cases: Sequence[Case]) -> list[Verdict]:
        """Verdicts on all cases, asked for at once, in the same order."""
        ...

    def later(self, case: Case, tell: Callable[[Verdict], None]) -> None:
        """Judge while nobody waits, and call ``tell`` with what came of it."""
        ...
