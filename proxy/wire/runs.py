"""Which run a string of an event belongs to, and which runs an event ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from proxy.core.errors import ContentFiltered
from proxy.wire.events import TERMINAL
from proxy.wire.leaves import Path

_PIECES: Final = frozenset({
    "content", "reasoning_content", "reasoning", "refusal", "text", "arguments", "input",
    "thinking", "transcript", "delta", "partial_json", "summary",
})  # fmt: skip
"""Names under which text comes in pieces wherever in a delta they stand."""

Key = tuple[str | int | None, ...]


class Channel(Protocol):
    """Takes a run piece by piece.

    ``stopped`` is set when nothing may go on any more.
    """

    stopped: ContentFiltered | None

    @property
    def pending(self) -> str:
        """What is held back."""
        ...

    def feed(self, text: str) -> str:
        """What may go on now."""
        ...

    def flush(self) -> str:
        """What was held back."""
        ...


class Run:
    """One run: its channel, where it stands in an event, and its last event."""

    __slots__ = ("channel", "path", "raw")

    def __init__(self, channel: Channel, path: Path, raw: bytes) -> None:
        self.channel = channel
        self.path = path
        self.raw = raw


def key_of(event: dict[str, Any], path: Path) -> Key | None:
    """The run that the string at ``path`` is a piece of."""
    if path[0] == "choices" and len(path) > 2:
        choice = event["choices"][path[1]]
        if not isinstance(choice, dict):
            return None
        number = _number(choice.get("index"), path[1])
        if path[2] == "text" and len(path) == 3:
            return number, "text"
        if path[2] != "delta" or (len(path) > 4 and path[-1] not in _PIECES):
            return None
        if len(path) == 4 and path[3] in ("role", "name", "id", "type"):
            return None
        return number, *_named(choice["delta"], path[3:])
    kind = event.get("type")
    if not isinstance(kind, str):
        return None
    if kind.endswith(".delta") and path == ["delta"] and not kind.endswith("audio.delta"):
        part = event.get("content_index", event.get("summary_index"))
        item = event.get("item_id")
        return (
            kind, _number(event.get("output_index")), _number(part),
            item if isinstance(item, str) else None,
        )  # fmt: skip
    if kind == "content_block_delta" and path[0] == "delta" and path[-1] in _PIECES:
        return kind, _number(event.get("index")), path[-1], None
    return None


def _number(given: object, otherwise: str | int | None = None) -> str | int | None:
    """What an upstream gave as a number, if it is one."""
    return given if isinstance(given, int) else otherwise


def _named(value: Any, path: Path) -> Path:
    """``path`` with positions in lists given by the ``index`` of what is there."""
    named: Path = []
    for step in path:
        value = value[step]
        index = value.get("index") if isinstance(value, dict) else None
        named.append(index if isinstance(step, int) and isinstance(index, int) else step)
    return named


def closing(event: dict[str, Any]) -> tuple[set[str | int | None], Callable[[Key], bool]]:
    """Which choices an event ends, and a test for the runs that it ends."""
    choices = event.get("choices")
    if isinstance(choices, list):
        over = {
            _number(c.get("index"), i)
            for i, c in enumerate(choices)
            if isinstance(c, dict) and c.get("finish_reason") is not None
        }
        return over, lambda key: key[0] in over
    kind = event.get("type")
    if not isinstance(kind, str):
        return set(), lambda _: bool(event.get("error"))
    if kind in TERMINAL or kind in ("error", "message_stop", "message_delta"):
        return set(), lambda _: True
    if kind == "content_block_stop":
        index = _number(event.get("index"))
        return set(), lambda key: key[1] == index
    if not kind.endswith(".done"):
        return set(), lambda _: False
    item = _number(event.get("output_index"))
    part = _number(event.get("content_index", event.get("summary_index")))
    return set(), lambda key: key[1] == item and (part is None or key[2] in (part, None))
