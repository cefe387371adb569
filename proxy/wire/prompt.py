"""The texts of a request, and whose words they are.

A walk over every string of the body, less the names under which no model
reads anything: a list of fields to look at would miss the next one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import orjson

from proxy.core.judging import Role, Said

STRUCTURE: Final = frozenset(
    {
        "role", "type", "id", "object", "model", "status", "tool_call_id", "call_id", "item_id",
        "encoding_format", "detail", "format", "service_tier", "previous_response_id", "voice",
        "conversation", "cache_salt", "prompt_cache_key", "encrypted_content", "truncation",
        "reasoning_effort", "response_id", "file_id", "vector_store_ids", "include",
    }
)  # fmt: skip
"""Names of strings that steer and are not read."""

_ROLES: Final[dict[str, Role]] = {
    "system": "system", "developer": "system", "user": "user", "assistant": "assistant",
    "tool": "tool", "function": "tool",
}  # fmt: skip
_WHOSE: Final[dict[str, Role]] = {
    "input": "user", "prompt": "user", "query": "user", "instructions": "system",
    "system": "system",
}  # fmt: skip
_COLON_APART: Final = re.compile(rb'"[ \t\r\n]+:')
_MEDIA: Final = ("image/", "audio/", "video/", "application/pdf")
_NO_TEXT: Final = tuple(f"data:{kind}" for kind in _MEDIA)


def said_in(body: dict[str, Any]) -> Iterator[Said]:
    """All texts: one for each message, one for each other field."""
    for name, value in body.items():
        if name in STRUCTURE:
            continue
        if name in ("messages", "input") and isinstance(value, list):
            yield from _messages(value)
        elif text := joined(value):
            yield Said(_WHOSE.get(name, "other"), text)


def _messages(items: list[Any]) -> Iterator[Said]:
    for item in items:
        if text := joined(item):
            yield Said(_whose(item), text)


def _whose(item: object) -> Role:
    if not isinstance(item, dict):
        return "user"
    role, kind = item.get("role"), str(item.get("type", ""))
    if isinstance(role, str):
        return _ROLES.get(role, "other")
    if kind.endswith("_output"):
        return "tool"
    return "assistant" if kind.endswith("_call") or kind == "reasoning" else "other"


def joined(value: object) -> str:
    """All strings in a value, in their order, a line each."""
    if isinstance(value, str):
        return "" if value.startswith(_NO_TEXT) else value
    return "\n".join(_leaves(value))


def _is_media(value: dict[str, Any]) -> bool:
    """Whether this is a picture or the like, in base64 and labelled as such."""
    kind = value.get("media_type")
    return isinstance(kind, str) and kind.startswith(_MEDIA)


def _leaves(value: object) -> Iterator[str]:
    todo: list[object] = [value]
    while todo:
        here = todo.pop()
        if isinstance(here, str):
            if here and not here.startswith(_NO_TEXT):
                yield here
        elif isinstance(here, list):
            todo.extend(reversed(here))
        elif isinstance(here, dict):
            if here.get("type") == "input_audio" or _is_media(here):
                continue
            todo.extend(
                v for k, v in reversed(here.items()) if not (k in STRUCTURE and isinstance(v, str))
            )


def unambiguous(raw: bytes, body: dict[str, Any]) -> bytes:
    """Bytes in which every reader finds ``body``: the client's own, unless a
    name stands in them twice and another reader might take the other value.

    Each name in the bytes has its colon, and what looks like one inside a
    string only makes for needless care.
    """
    colons = raw.count(b'":') + len(_COLON_APART.findall(raw))
    return raw if colons == _names_in(body) else orjson.dumps(body)


def _names_in(value: object) -> int:
    count = 0
    todo: list[object] = [value]
    while todo:
        here = todo.pop()
        if isinstance(here, dict):
            count += len(here)
            todo.extend(here.values())
        elif isinstance(here, list):
            todo.extend(here)
    return count
