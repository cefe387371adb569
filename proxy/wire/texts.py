"""The texts of a request: all of them changed, and what the body says of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from proxy.core.errors import BadRequest
from proxy.wire.leaves import Path, is_json_text, rewrite
from proxy.wire.structural import base64_text, is_structural, join_data_url, split_data_url

_TOKENS: Final = ("prompt", "input", "tokens")
_STORED: Final = re.compile(r"/v1/(?:responses|conversations)/([^/]+)")


def rewrite_texts(text: Callable[[str], str], raw: bytes) -> bytes | None:
    """JSON with ``text`` applied to every string; ``None`` if nothing changed."""

    def leaf(path: Path, value: str) -> str | None:
        if is_structural(path, value):
            return None
        if value[:5].lower() == "data:" and (parts := split_data_url(value)) is not None:
            head, held = parts
            made = held if held is None else text(held)
            return None if made is None or made == held else join_data_url(head, made)
        if (held := base64_text(value)) is not None:
            made = text(held)
            return None if made == held else join_data_url("", made)
        return inner(path, value)

    def inner(_: Path, value: str) -> str:
        if not is_json_text(value):
            return text(value)
        # Its own strings, so that what is restored in them is escaped right.
        made = rewrite(value.encode(), inner, key)
        return value if made is None else made.decode()

    def key(_: Path, name: str) -> str:
        return text(name)

    return rewrite(raw, leaf, key)


def refuse_tokens(body: Mapping[str, Any]) -> None:
    """Raise if a prompt is given as numbers, which say nothing to us."""
    for name in _TOKENS:
        value = body.get(name)
        if not isinstance(value, list):
            continue
        while isinstance(value, list) and value:
            value = value[0]
        if isinstance(value, int):
            raise BadRequest(f"{name} must be text: tokens cannot be redacted", param=name)


def asks_json(body: Mapping[str, Any] | None) -> bool:
    """Whether the answer's own text was asked for as JSON."""
    if body is None:
        return False
    text = body.get("text")
    for form in (
        body.get("response_format"),
        text.get("format") if isinstance(text, dict) else None,
    ):
        if isinstance(form, dict) and form.get("type") in ("json_object", "json_schema"):
            return True
    return False


def stored_ids(body: Mapping[str, Any] | None, path: str) -> list[str]:
    """Ids of what the provider stored and the request goes on from."""
    if body is None:
        body = {}
    conversation = body.get("conversation")
    if isinstance(conversation, dict):
        conversation = conversation.get("id")
    previous = body.get("previous_response_id")
    named = _STORED.match(path)
    if not (conversation or previous or named):
        return []
    ids = (previous, conversation, named[1] if named else None)
    return [one for one in ids if isinstance(one, str) and one]
