"""Single events of a stream: where they end, and whether they say anything."""

from __future__ import annotations

import re
from typing import Any, Final

BLANK: Final = re.compile(rb"(?<=\n)\r?\n")
"""The blank line that ends an event."""


def split(data: bytes) -> list[bytes]:
    """Whole events, each with its blank line."""
    events, start = [], 0
    for match in BLANK.finditer(data):
        events.append(data[start : match.end()])
        start = match.end()
    return events


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
