"""The last thing a user says, and all that it is said in."""

from __future__ import annotations

import re
import unicodedata
from typing import Any, Final, NamedTuple

MAX_TOKENS: Final = 128
"""Longer texts are no questions but material, of which a word can matter that
no vector shows."""

_HIDDEN: Final = frozenset({"Cc", "Cf", "Cn", "Co", "Cs"})
_BLANK: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0d\uffa0\U000e0100-\U000e01ef]"
)
"""What is hidden though its category says otherwise: fillers, and selectors of
variants beyond those that emoji have."""

_ASCII_PER_TOKEN: Final = 4.0
_OTHER_PER_TOKEN: Final = 1.5


class Question(NamedTuple):
    """A text, and the body of the request without it."""

    text: str
    rest: dict[str, Any]


def question_of(endpoint: str, body: dict[str, Any]) -> Question | None:
    """The question of a chat or Responses request, if it is one of words alone.

    ``None`` where the request has tools, ends in somebody else's turn or in
    anything but text that can be seen, or is longer than ``MAX_TOKENS``.
    """
    if body.get("tools") or body.get("functions"):
        return None
    name = "messages" if endpoint == "chat" else "input"
    turns = body.get(name)
    if endpoint == "responses" and isinstance(turns, str):
        text, before, last = turns, [], {"role": "user"}
    else:
        if endpoint not in ("chat", "responses") or not isinstance(turns, list) or not turns:
            return None
        *before, last = turns
        if not isinstance(last, dict) or last.get("role") != "user":
            return None
        found = _text_of(last.get("content"))
        if found is None:
            return None
        text = found
        # Of who says it, a name counts; the form of the text does not.
        last = {k: v for k, v in last.items() if k != "content"}
        if endpoint == "responses" and last.get("type") == "message":
            del last["type"]
    if not text.strip() or _tokens(text) > MAX_TOKENS or not all(map(_is_seen, set(text))):
        return None
    return Question(text, {**body, name: [*before, last]})


def _text_of(content: object) -> str | None:
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or len(content) != 1:
        return None
    part = content[0]
    if not isinstance(part, dict) or part.get("type") not in ("text", "input_text"):
        return None
    text = part.get("text")
    return text if isinstance(text, str) and part.keys() == {"type", "text"} else None


def _is_seen(char: str) -> bool:
    """Whether a person sees it, or the room it takes: what is hidden can ask for anything."""
    if char in "\n\t\r":
        return True
    return unicodedata.category(char) not in _HIDDEN and _BLANK.match(char) is None


def _tokens(text: str) -> float:
    """About how many tokens; letters beyond ASCII need more."""
    if text.isascii():
        return len(text) / _ASCII_PER_TOKEN
    plain = sum(map(str.isascii, text))
    return plain / _ASCII_PER_TOKEN + (len(text) - plain) / _OTHER_PER_TOKEN
