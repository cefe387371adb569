"""Server-sent events, bytes in and frames out.  No sockets, no awaiting."""

from __future__ import annotations

from collections.abc import Iterator

from proxy.core.errors import UpstreamFailed
from proxy.core.frame import Frame
from proxy.wire.events import joined

_BOM = b"\xef\xbb\xbf"


class EventTooLong(UpstreamFailed):
    """The upstream sent an event longer than we are willing to hold."""

    code = "upstream_event_too_long"


class Framer:
    """Cuts a byte stream into whole events, for stages that read them.

    Frames keep the upstream's own bytes: what no stage changes reaches the
    client exactly as it left the upstream.  ``max_event`` is in bytes.
    """

    def __init__(self, max_event: int = 4 << 20) -> None:
        self._max_event = max_event
        self._held = bytearray()
        self._is_first = True

    def feed(self, data: bytes) -> list[Frame]:
        """All events that are whole now.  Raises ``EventTooLong``."""
        held = self._held
        if held and not (data := joined(held, data, 0 if self._is_first else self._max_event)):
            return []
        if self._is_first:
            if len(data) < len(_BOM) and _BOM.startswith(data):
                held += data
                return []
            self._is_first = False
            data = data.removeprefix(_BOM)
        frames: list[Frame] = []
        start = 0
        if b"\r" not in data:
            # The plain case at a third of the price.
            *events, rest = data.split(b"\n\n")
            frames = [
                Frame(event + b"\n\n", event[6:])
                if event.startswith(b"data: ") and b"\n" not in event
                else _frame(event + b"\n\n")
                for event in events
            ]
        else:
            for end in _ends(data):
                frames.append(_frame(data[start:end]))
                start = end
            rest = data[start:]
        held += rest
        if len(held) > self._max_event:
            raise EventTooLong(f"an event of the upstream is over {self._max_event} bytes")
        return frames

    def flush(self) -> Frame | None:
        """Whatever is left when the upstream closes without a blank line."""
        held = bytes(self._held)
        self._held.clear()
        return _frame(held) if held.strip() else None


def _ends(data: bytes) -> Iterator[int]:
    """One past each blank line that ends an event.

    Two plain finds: a regex with an optional CR costs twice as much.  Neither
    looks again at what it has looked at: mostly there is but one kind.
    """
    lf, crlf = data.find(b"\n\n"), data.find(b"\n\r\n")
    while lf >= 0 or crlf >= 0:
        end = lf + 2 if crlf < 0 or 0 <= lf < crlf else crlf + 3
        yield end
        if 0 <= lf < end:
            lf = data.find(b"\n\n", end)
        if 0 <= crlf < end:
            crlf = data.find(b"\n\r\n", end)


def _frame(raw: bytes) -> Frame:
    data: list[bytes] = []
    event = b""
    for line in raw.split(b"\n"):
        name, _, value = line.removesuffix(b"\r").partition(b":")
        if name == b"data":
            data.append(value.removeprefix(b" "))
        elif name == b"event":
            event = value.removeprefix(b" ")
    return Frame(raw, b"\n".join(data), event)
