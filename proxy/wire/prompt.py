"""The texts of a request, and whose words they are.

A walk over every string of the body, less the names under which no model
reads anything: a list of fields to look at would miss the next one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import orjson
import re2

from proxy.core.judging import Role, Said

STRUCTURE: Final = frozenset(
    {
        "role", "type", "id", "object", "model", "status", "tool_call_id", "call_id", "item_id",
        "encoding_format", "detail", "format", "service_tier", "previous_response_id", "voice",
        "conversation", "cache_salt", "prompt_cache_key", "encrypted_content", "truncation",
        "reasoning_effort", "response_id", "file_id", "media_type", "vector_store_ids", "include",
    }
)  # fmt: skip
"""Names of strings that steer and are not read."""

OWN_NAMES: Final = frozenset({"variables", "input", "arguments", "default", "examples", "enum"})
"""Names under which everybody chooses names as they like, and all is read."""

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
_DATA_URLS: Final = tuple(f"data:{kind}" for kind in _MEDIA)
_MEDIA_NAMES: Final = frozenset({"url", "image_url", "file_data", "data"})
_ENCODED: Final = re2.compile(rb"(?:data:[\w/+.;=-]{1,100};base64,)?[A-Za-z0-9+/=_\r\n-]*")


def said_in(body: dict[str, Any]) -> Iterator[Said]:
    """All texts: one for each message, one for each other field."""
    for name, value in body.items():
        if name in STRUCTURE:
            continue
        if name in ("messages", "input") and isinstance(value, list):
            yield from _messages(value)
        elif text := joined(value):
            yield Said(_WHOSE.get(name, "other"), text)


def has_tokens(body: dict[str, Any]) -> bool:
    """Whether a text is given as the numbers of its tokens, which say nothing here."""
    for name in ("prompt", "input"):
        value = body.get(name)
        for item in value if isinstance(value, list) else ():
            if isinstance(item, int) or (isinstance(item, list) and item):
                return True
    return False


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
    return value if isinstance(value, str) else "\n".join(_leaves(value))


def _leaves(value: object) -> Iterator[str]:
    # Beside each value stands whether its names are somebody's own.
    todo: list[tuple[object, bool]] = [(value, False)]
    while todo:
        here, is_own = todo.pop()
        if isinstance(here, str):
            if here:
                yield here
        elif isinstance(here, list):
            todo += [(item, is_own) for item in reversed(here)]
        elif isinstance(here, dict):
            todo += [
                (item, is_own or name in OWN_NAMES)
                for name, item in reversed(here.items())
                if not isinstance(item, str)
                or (
                    (is_own or name not in STRUCTURE)
                    and not (name in _MEDIA_NAMES and _is_media(item, here))
                )
            ]


def _is_media(value: str, among: dict[str, Any]) -> bool:
    """Whether a string is a picture or the like: labelled so, under a name that
    no text has, and nothing but base64.
    """
    kind = among.get("media_type", "")
    is_labelled = value.startswith(_DATA_URLS) or (
        "format" in among or (isinstance(kind, str) and kind.startswith(_MEDIA))
    )
    return is_labelled and _ENCODED.fullmatch(value.encode("utf-8", "replace")) is not None


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
