"""What policies need from the world outside, as protocols.

Adapters live in ``stores``, ``identity``, ``upstream`` and ``edge``; tests have
their own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """The two clocks.  Tests turn the hands themselves."""

    def now(self) -> float:
        """Seconds of a clock that never goes back."""
        ...

    def wall(self) -> float:
        """Seconds since 1970, UTC."""
        ...


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a token speaks for.

    ``subject`` is the person or program within the tenant, empty where the
    token names none; ``scopes`` are those that the configuration knows.
    """

    tenant: str
    subject: str = ""
    scopes: frozenset[str] = frozenset()


class Tokens(Protocol):
    """Signed tokens of an identity provider.

    ``digest`` is the sha256 of ``token``.  Both methods raise
    ``Unauthenticated`` with what is wrong, and never with the token.
    """

    def verify(self, token: str, digest: bytes) -> Identity | None:
        """Whom a token speaks for; nothing if its key is not at hand."""
        ...

    async def fetch(self, token: str, digest: bytes) -> Identity:
        """The same, after asking for newer keys; may wait a little.

        Raises ``IdentityUnavailable`` if no key could be had at all.
        """


class Bell(Protocol):
    """Wakes who waits for it; ``asyncio.Event`` is one."""

    def set(self) -> None:
        """Wake all."""
        ...

    def clear(self) -> None:
        """Let the next who come wait."""
        ...

    async def wait(self) -> object:
        """Wait to be woken."""
        ...


class Handle(Protocol):
    """Work that goes on by itself."""

    def cancel(self) -> object:
        """End it."""
        ...


class Tasks(Protocol):
    """Starts work that nobody waits for, and lets time go by."""

    def begin(self, work: Coroutine[object, object, None]) -> Handle:
        """Let ``work`` go on by itself."""
        ...

    def bell(self) -> Bell:
        """A new bell."""
        ...

    async def pause(self, seconds: float) -> None:
        """Let others go on for that long; 0 is one turn."""
        ...


class Recogniser(Protocol):
    """A service that finds things in texts."""

    async def find(self, texts: Sequence[str]) -> list[list[tuple[int, int, str]]]:
        """For each text what was found: start, end and kind, in characters.

        Raises ``DetectorUnavailable``.
        """
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

    async def peek(self, limit: int, is_enough: Callable[[bytes | bytearray], bool]) -> bytes:
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
