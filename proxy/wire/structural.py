"""Which strings of a body are the protocol's own words, and what data URLs hold.

A name alone makes nothing structural: the value must also look like one, so
that nobody's address hides in a field called ``type``.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from proxy.wire.leaves import Path

_WORD_KEYS: Final = frozenset({
    "role", "type", "object", "detail", "format", "encoding_format", "effort", "service_tier",
    "status", "finish_reason", "voice", "modalities", "response_format", "truncation", "verbosity",
    "summary", "include", "size", "quality", "background", "tool_choice", "purpose", "mode",
    "syntax", "phase", "task", "input_type", "output_format", "reasoning_effort", "stop_reason",
})  # fmt: skip
_WORD: Final = re.compile(r"[a-z][a-z_./-]{0,39}[0-9]{0,4}(?:x[0-9]{1,4})?|[0-9]{2,4}x[0-9]{2,4}")
_ID_KEY: Final = re.compile(r"id|\w+_id|previous_response_id|system_fingerprint|conversation")
_ID: Final = re.compile(
    r"(?:call|msg|resp|rs|fc|fco|conv|file|chatcmpl|cmpl|asst|run|thread|item|ws|ci|mcp|mcpl|tool"
    r"|toolu|srvtoolu|req|vs|batch|step|embd|modr|ft|upload|part|cntr|fp|prompt|ctc|ig|fs|cu|cmp)"
    r"[_-][A-Za-z0-9_-]{1,80}"
)
_OPAQUE: Final = frozenset({
    "encrypted_content", "signature", "thought_signature", "b64_json", "partial_image_b64",
    "obfuscation", "embedding",
})  # fmt: skip
LONG: Final = 512
"""Characters from which a run of base64 is taken for a file; a multiple of 4."""

_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_DATA_URL: Final = re.compile(
    r"data:([a-z]+/[a-z0-9.+-]+)?((?:;[a-z0-9-]+=[^;,]*)*)(;base64)?,", re.IGNORECASE
)
_TEXT_TYPE: Final = re.compile(r"(?:text/.*|application/(?:.*json.*|.*xml|.*yaml|javascript|csv))")


def is_structural(path: Path, text: str) -> bool:
    """Whether ``text`` at ``path`` is a word of the protocol or not text at all."""
    key = ""
    for step in reversed(path):
        if isinstance(step, str):
            key = step
            break
    if key in _WORD_KEYS:
        return _WORD.fullmatch(text) is not None and "metadata" not in path
    if key == "model":
        return len(path) == 1 or path[0] == "response"
    if key in _OPAQUE or is_binary(text):
        return True
    if key == "data" and ("input_audio" in path or "audio" in path):
        return True
    return _ID_KEY.fullmatch(key) is not None and _ID.fullmatch(text) is not None


def is_name(path: Path) -> bool:
    """Whether the string at ``path`` is an embedded body of JSON by its name."""
    return bool(path) and path[-1] in ("arguments", "partial_json")


def is_binary(text: str) -> bool:
    """Whether a long string is base64 of something that is no text."""
    if len(text) < LONG or not _BASE64.fullmatch(text, 0, LONG):
        return False
    return _decoded(text[:LONG]) is None


def base64_text(text: str) -> str | None:
    """What a long string says, if all of it is base64 of text."""
    if len(text) < LONG or not _BASE64.fullmatch(text, 0, LONG):
        return None
    return _decoded(text)


def _decoded(code: str) -> str | None:
    try:
        data = base64.b64decode(code, validate=True)
    except binascii.Error:
        return None
    if b"\0" in data:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        # The last character may have been cut in two.
        return data[: exc.start].decode() if exc.start >= len(data) - 3 else None


def split_data_url(text: str) -> tuple[str, str | None] | None:
    """The head of a data URL in base64, and what it holds if that is text.

    ``None`` for anything else, which is read as it stands.
    """
    head = _DATA_URL.match(text)
    if head is None or head[3] is None:
        return None
    if not _TEXT_TYPE.fullmatch((head[1] or "text/plain").lower()):
        return head[0], None
    try:
        return head[0], base64.b64decode(text[head.end() :], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def join_data_url(head: str, text: str) -> str:
    """A data URL with base64 text behind ``head``."""
    return head + base64.b64encode(text.encode()).decode()
