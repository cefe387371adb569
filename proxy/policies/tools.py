"""Hold requests and answers to the tools that a tenant may use.

A request is refused for a tool that it offers; an answer for one that the
model calls all the same, because a model can name what nobody offered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from proxy.core.errors import ToolNotAllowed
from proxy.core.exchange import Exchange, Head
from proxy.core.frame import Frame
from proxy.core.policy import Answer, Policy, Send, StreamHalf
from proxy.rules.toolbox import Toolbox
from proxy.wire.events import event_of
from proxy.wire.prompt import unambiguous
from proxy.wire.tools import answer_calls, choices_in, history_of, is_growing, mentions_in

_NO_CALLS: Final = frozenset(
    {"embeddings", "rerank", "score", "images", "moderations", "pooling", "classify", "tokenize"}
)
"""Endpoints whose answers can be large and hold no calls."""

_SIGNS: Final = (b"_call", b"tool_use", rb"\u00")
"""What stands in every event that speaks of a call, were it even escaped."""


class ToolsPolicy(Policy):
    """Refuses tools that are not on the tenant's list."""

    name = "tools"

    def __init__(self, toolboxes: Mapping[str, Toolbox]) -> None:
        self._toolboxes = toolboxes

    @property
    def is_idle(self) -> bool:
        """Whether no tenant's tools are bounded."""
        return not self._toolboxes

    async def on_request(self, x: Exchange) -> Answer | None:
        """403 names the tool and where it stands."""
        box = self._toolboxes.get(x.tenant)
        if box is None:
            return None
        if x.endpoint.is_socket:
            raise ToolNotAllowed("tools of a WebSocket cannot be checked for this tenant")
        if x.body is None:
            return None
        if x.raw is not None:
            # What was checked is what is sent, whoever reads it.
            x.raw = unambiguous(x.raw, x.body)
        check_asked(box, x.body)
        return None

    def on_response(self, x: Exchange, head: Head) -> StreamHalf | None:
        """A half for answers in which a model may call tools."""
        box = self._toolboxes.get(x.tenant)
        is_read = head.is_stream or b"json" in head.content_type
        if box is None or not is_read or not 200 <= head.status < 300:
            return None
        if x.endpoint.name in _NO_CALLS:
            return None
        return _Calls(box, grows=head.is_stream)


def check_asked(box: Toolbox, body: dict[str, Any]) -> None:
    """Raise ``ToolNotAllowed`` for a tool that a request offers or has called."""
    for name, param in mentions_in(body):
        box.check_name(name, param=param)
    for param, names in history_of(body):
        box.check_count(len(names), param=param)
        for name in names:
            box.check_name(name, param=param)


class _Calls(StreamHalf):
    """The calls of one answer.

    A name may come in pieces.  What holds an unfinished one waits for the
    first event that does not go on with it.
    """

    __slots__ = ("_box", "_grows", "_held", "_names", "_open")

    def __init__(self, box: Toolbox, *, grows: bool) -> None:
        self._box = box
        self._grows = grows
        self._names: dict[tuple[object, ...], str] = {}
        self._open: set[tuple[object, ...]] = set()
        self._held: list[Frame] = []

    def feed(self, frame: Frame, send: Send) -> None:
        """Check the names that are whole now."""
        # Most events of most answers speak of no call at all.
        data = frame.data
        if not self._open and not any(sign in data for sign in _SIGNS):
            send(frame)
            return
        self._held.append(frame)
        if not data:
            return
        event = event_of(data)
        grown = self._note(event) if event is not None else set()
        spoken_of = choices_in(event) if event is not None else set()
        whole = {key for key in self._open - grown if not spoken_of or key[0] in spoken_of}
        for key in whole:
            self._box.check_name(self._names[key])
        self._open = (self._open - whole) | grown
        if not self._open:
            self.flush(send)

    def flush(self, send: Send) -> None:
        """No more comes: what is open is whole."""
        for key in self._open:
            self._box.check_name(self._names[key])
        self._open = set()
        held, self._held = self._held, []
        for frame in held:
            send(frame)

    def _note(self, event: dict[str, object]) -> set[tuple[object, ...]]:
        """Take note of an event's calls; the names that may go on."""
        grows = self._grows and is_growing(event)
        grown = set()
        for key, name in answer_calls(event):
            before = self._names.get(key, "")
            self._names[key] = before + name if grows else name or before
            if name and grows:
                grown.add(key)
            elif not grows:
                self._box.check_name(self._names[key])
        self._box.check_count(len(self._names))
        return grown
