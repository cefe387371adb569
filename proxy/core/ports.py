"""What policies need from the world outside, as protocols.

Adapters live in ``stores``, ``upstream`` and ``edge``; tests have their own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Role = Literal["system", "user", "assistant", "tool", "other"]


class Clock(Protocol):
    """The two clocks.  Tests turn the hands themselves."""

    def now(self) -> float:
        """Seconds of a clock that never goes back."""
        ...

    def wall(self) -> float:
        """Seconds since 1970, UTC."""
        ...


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


class Tunnel(Protocol):
    """The far end of a WebSocket, once both sides have agreed to one."""

    def write(self, data: bytes) -> bool:
        """Bytes of the client; false asks to stop reading from it."""
        ...

    def on_writable(self, resume: Callable[[], None]) -> None:
        """Call ``resume`` when more may be written."""
        ...


class Intake(Protocol):
    """The body of a request, not read yet.

    It can be taken once: whole by ``read`` or in pieces by ``chunks``.
    ``length`` is in bytes, ``None`` where the client did not say;
    ``is_encoded`` says that the client compressed it.
    """

    length: int | None
    has_body: bool
    is_encoded: bool

    @property
    def is_read(self) -> bool:
        """Whether the client has nothing left to send of this request."""
        ...

    async def read(self, limit: int) -> bytes:
        """The whole body.  Raises ``BodyTooLarge`` over ``limit`` bytes."""
        ...

    async def peek(self, limit: int, is_enough: Callable[[bytes], bool]) -> bytes:
        """The beginning of the body, as much as ``is_enough`` asks for.

        It is kept, and ``chunks`` gives it again.
        """
        ...

    def edit(self, beginning: bytes) -> None:
        """Put other bytes in the place of what ``peek`` gave."""
        ...

    def chunks(self, limit: int) -> AsyncIterator[bytes]:
        """The body as it comes.  Raises ``BodyTooLarge`` over ``limit`` bytes."""
        ...

    def tunnel(self, far: Tunnel) -> None:
        """From now on hand what the client sends to ``far``."""
        ...
