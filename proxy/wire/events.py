"""Single events of a stream: where they end, and whether they say anything."""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from proxy.core.endpoint import Dialect

BLANK: Final = re.compile(rb"(?<=\n)\r?\n")
"""The blank line that ends an event."""

_SAYING: Final = (b'_tokens"', b'"error"')
MARKS: Final[dict[Dialect, tuple[bytes, ...]]] = {
    "chat": _SAYING,
    "plain": _SAYING,
    "responses": (
        b'_tokens"', b'"error"', b"event: error", b"event: response.completed",
        b"event: response.incomplete", b"event: response.failed", b"event: response.cancelled",
    ),
}  # fmt: skip
"""What stands in every event with an object that has something to tell us."""

TERMINAL: Final = frozenset(
    {"response.completed", "response.incomplete", "response.failed", "response.cancelled"}
)
"""Types of the events that end a Responses stream."""


_SEQUENCE: Final = re.compile(rb'"sequence_number":\s*(\d{1,12})')


def number_after(data: bytes) -> int:
    """The number of the Responses event that would follow ``data``; 0 if it
    holds none.
    """
    found = _SEQUENCE.findall(data)
    return int(found[-1]) + 1 if found else 0


def joined(held: bytearray, data: bytes, most: int) -> bytes:
    """What was held and ``data``, taken out of there, if an event ends in it or it is
    over ``most`` bytes; else nothing, and ``data`` is held too.

    Of an event that comes in drops each byte is looked at once.
    """
    seam = max(0, len(held) - 2)
    held += data
    if len(held) <= most and held.find(b"\n\n", seam) < 0 and held.find(b"\n\r\n", seam) < 0:
        return b""
    whole = bytes(held)
    held.clear()
    return whole


def split(data: bytes) -> list[bytes]:
    """Whole events, each with its blank line."""
    events, start = [], 0
    for match in BLANK.finditer(data):
        events.append(data[start : match.end()])
        start = match.end()
    return events


def taken_apart(raw: bytes) -> tuple[bytes, list[bytes], bool]:
    """The payload of one event, its lines without those that break clients'
    decoders, and whether there were such.
    """
    if raw.startswith(b"data: ") and raw.find(b"\n") == len(raw) - 2 and b"\r" not in raw:
        # One line of data, as nearly always: nothing to look for.
        return raw[6:-2], [raw[:-2]], False
    payload: list[bytes] = []
    kept: list[bytes] = []
    is_mended = False
    for line in raw.splitlines():
        if line.startswith(b"data:"):
            payload.append(line[5:].removeprefix(b" "))
        elif line.startswith((b"id:", b"retry:")) or line in (b"id", b"retry"):
            is_mended = True
            continue
        if line:
            kept.append(line)
    return b"\n".join(payload), kept, is_mended


def has_content(event: dict[str, Any]) -> bool:
    """Whether an event carries more than the fact that an answer has begun."""
    kind = event.get("type")
    if isinstance(kind, str):
        return kind not in ("response.created", "response.in_progress", "response.queued", "ping")
    choices = event.get("choices")
    if not isinstance(choices, list):
        return True
    for choice in choices:
        delta = choice.get("delta") if isinstance(choice, dict) else None
        if not isinstance(delta, dict):
            return True
        if choice.get("finish_reason") or any(v for k, v in delta.items() if k != "role"):
            return True
    return False


def event_of(data: bytes) -> dict[str, Any] | None:
    """The payload of an event, or a whole JSON answer; ``None`` if it is none."""
    try:
        event = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return event if isinstance(event, dict) else None


def last_in(tail: bytes) -> dict[str, Any] | None:
    """The last event of plain ``tail``, if it is one."""
    at = tail.rfind(b"data: {")
    try:
        return orjson.loads(tail[at + 6 :]) if at >= 0 else None
    except orjson.JSONDecodeError:
        return None
