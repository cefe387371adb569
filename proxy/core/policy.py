"""What a stage is: a request half, a stream half, and an end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ClassVar, Protocol

from proxy.core.exchange import End, Exchange, Head
from proxy.core.frame import Frame

Send = Callable[[Frame], None]
Write = Callable[[bytes], bool]
"""Takes bytes for the client; false says that it is behind and to wait."""


class Reply(Protocol):
    """An answer being received: its head, then its body."""

    head: Head

    async def pump(self, write: Write, drain: Callable[[], Awaitable[None]]) -> None:
        """Hand the whole body to ``write``, waiting for ``drain`` when told.

        Bytes of an event stream come as whole events.  Raises
        ``UpstreamFailed`` if the answer breaks off.
        """
        ...

    def close(self) -> None:
        """Give the connection back, or drop it if the answer is not over."""
        ...


class Answer:
    """An answer made here rather than upstream: a cache hit, a model list."""

    __slots__ = ("frames", "head")

    def __init__(self, head: Head, frames: tuple[Frame, ...]) -> None:
        self.head = head
        self.frames = frames


class StreamHalf:
    """Sees one answer go by.  Plain calls, no awaiting, no I/O.

    ``feed`` gets whole frames, never torn ones, and sends on none, one or
    several for each.  ``pause`` says that no more of them are at hand: what was
    gathered to be looked at together is looked at now.  ``flush`` is the last
    chance to let go of what is held.
    A half that must wait for somebody says so by ``is_waiting``: the driver
    then stops the upstream and awaits ``settle``, and does so after ``flush``.
    """

    __slots__ = ()

    def feed(self, frame: Frame, send: Send) -> None:
        """Take one frame; pass on what may go."""
        send(frame)

    def feed_all(self, frames: list[Frame], send: Send) -> None:
        """Take what came in one read."""
        for frame in frames:
            self.feed(frame, send)

    def pause(self, send: Send) -> None:
        """Look at what was gathered and pass on what may go."""

    def flush(self, send: Send) -> None:
        """The answer is over: pass on what was held back."""

    @property
    def is_waiting(self) -> bool:
        """Whether ``settle`` has something to wait for."""
        return False

    async def settle(self, send: Send) -> None:
        """Wait for it, then pass on what may go."""


class Policy:
    """One stage of the pipeline.  The defaults do nothing.

    The driver promises: ``on_request`` runs in pipeline order;
    ``on_response`` at most once, and only after ``on_request`` returned
    ``None``; ``on_end`` exactly once for every stage whose ``on_request``
    was called, in reverse order, whatever happened in between.  A stage may
    be ended halfway through its own ``on_request`` (the client left while it
    waited), so ``on_end`` gives back what was really taken.
    """

    name: ClassVar[str]

    @property
    def is_idle(self) -> bool:
        """Whether nothing of the configuration concerns it; then it may be left out."""
        return False

    async def on_request(self, x: Exchange) -> Answer | Reply | None:
        """Return ``None`` to go on, an answer to stop here, or raise.

        An ``Answer`` is here whole; a ``Reply`` is still coming in.
        """
        return None

    def on_response(self, x: Exchange, head: Head) -> StreamHalf | None:
        """Return a half to watch or change the answer, or ``None``."""
        return None

    def on_end(self, x: Exchange, end: End) -> None:
        """Give back what ``on_request`` took.

        Plain, so that a client's leaving can never interrupt it: what needs
        the network is handed to a port that finishes on its own.
        """
