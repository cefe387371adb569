"""What a stage is: a request half, a stream half, and an end."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from proxy.core.exchange import End, Exchange, Head
from proxy.core.frame import Frame

Send = Callable[[Frame], None]


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

    async def on_request(self, x: Exchange) -> Answer | None:
        """Return ``None`` to go on, an ``Answer`` to stop here, or raise."""
        return None

    def on_response(self, x: Exchange, head: Head) -> StreamHalf | None:
        """Return a half to watch or change the answer, or ``None``."""
        return None

    def on_end(self, x: Exchange, end: End) -> None:
        """Give back what ``on_request`` took.

        Plain, so that a client's leaving can never interrupt it: what needs
        the network is handed to a port that finishes on its own.
        """
