"""A piece of an answer's body that means something on its own."""

from __future__ import annotations


class Frame:
    """One SSE event, or one whole JSON body.

    ``raw`` is what goes on the wire; ``data`` is the payload, still encoded,
    so that only a stage that reads it pays for decoding.  Both are bytes.
    """

    __slots__ = ("data", "event", "raw")

    def __init__(self, raw: bytes, data: bytes, event: bytes = b"") -> None:
        self.raw = raw
        self.data = data
        self.event = event

    @property
    def is_done(self) -> bool:
        """Whether this is the ``[DONE]`` of a chat stream."""
        return self.data == b"[DONE]"

    @classmethod
    def of(cls, data: bytes, event: bytes = b"") -> Frame:
        """An SSE event around ``data``, which must hold no line break."""
        head = b"event: " + event + b"\n" if event else b""
        return cls(head + b"data: " + data + b"\n\n", data, event)

    def __repr__(self) -> str:
        return f"Frame({len(self.raw)} bytes)"
