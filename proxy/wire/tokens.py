"""What of a request's body costs tokens, and how many of them it may cost.

Text is gathered from the fields that models read; images and sound are
counted apart, because their base64 is not what is paid for.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import orjson

from proxy.core.errors import BadRequest

_NO_TEXT: Final = frozenset(
    {
        "model", "stream", "stream_options", "temperature", "top_p", "top_k", "min_p", "n",
        "best_of", "max_tokens", "max_completion_tokens", "max_output_tokens", "stop", "seed",
        "user", "safety_identifier", "metadata", "logprobs", "top_logprobs", "logit_bias", "echo",
        "presence_penalty", "frequency_penalty", "repetition_penalty", "store", "background",
        "previous_response_id", "conversation", "service_tier", "parallel_tool_calls", "modalities",
        "audio", "reasoning", "reasoning_effort", "encoding_format", "dimensions", "include",
        "truncation", "prompt_cache_key", "verbosity", "size", "quality", "voice",
    }
)  # fmt: skip
"""Fields that no model reads.  All others are taken for prompt, so that one that
is not known here is not free."""
_ENCODED: Final = ("tools", "functions", "response_format", "text", "tool_choice",
                   "chat_template_kwargs")  # fmt: skip
"""Fields that models read as the JSON they are."""
_IS_ENCODED: Final = frozenset(_ENCODED)
_NOT_GATHERED: Final = _NO_TEXT | _IS_ENCODED
_MULTIPLIES: Final = frozenset({"n", "best_of", "prompt"})
"""Fields that may ask for several answers."""
_NAMES: Final = frozenset({"role", "type", "id", "status", "detail"})
"""Fields of messages and parts that are no text."""
_BOUNDS: Final[dict[str, tuple[str, ...]]] = {
    "chat": ("max_completion_tokens", "max_tokens"),
    "responses": ("max_output_tokens",),
    "responses_compact": ("max_output_tokens",),
}
"""The fields that bound an answer, by endpoint; elsewhere ``max_tokens``."""
_ALL_BOUNDS: Final = ("max_completion_tokens", "max_output_tokens", "max_tokens")
SOUND_BYTES: Final = 6400
"""Base64 of sound for one token: 48 kB a second, ten tokens a second."""
FILE_BYTES: Final = 8
MAX_CHOICES: Final = 128


class Prompt(NamedTuple):
    """What of a request is prompt: text, and what is counted apart.

    ``tokens`` are those that the client sent as numbers, or as sound or files.
    """

    data: bytes
    messages: int = 0
    images: int = 0
    tokens: int = 0


class _Gather:
    """Walks a prompt of any shape without recursion."""

    __slots__ = ("images", "messages", "parts", "tokens")

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.messages = 0
        self.images = 0
        self.tokens = 0

    def plain(self, messages: list[Any]) -> list[Any]:
        """Take the messages that are a role and a text, as nearly all are; the others."""
        texts, others = [], []
        for message in messages:
            if type(message) is dict and len(message) == 2 and "role" in message:
                content = message.get("content")
                if type(content) is str:
                    texts.append(content)
                    continue
            others.append(message)
        self.parts += texts
        self.messages += len(texts)
        return others

    def take(self, value: object) -> None:
        todo = [value]
        parts = self.parts
        while todo:
            value = todo.pop()
            if isinstance(value, str):
                parts.append(value)
            elif isinstance(value, dict):
                if "role" in value:
                    self.messages += 1
                if "role" in value or not self._is_part(value):
                    todo.extend(value[name] for name in value if name not in _NAMES)
            elif isinstance(value, list):
                if value and type(value[0]) is int:
                    self.tokens += len(value)
                else:
                    todo.extend(value)

    def _is_part(self, part: dict[str, Any]) -> bool:
        """Whether this is a content part that counts by its kind; counted then."""
        kind = part.get("type")
        if kind in ("text", "input_text", "output_text"):
            if isinstance(text := part.get("text"), str):
                self.parts.append(text)
            return True
        if kind in ("image_url", "input_image", "image"):
            self.images += 1
            return True
        inner = part.get(kind) if isinstance(kind, str) else None
        holder = inner if isinstance(inner, dict) else part
        if kind in ("input_audio", "audio"):
            self.tokens += _length(holder.get("data")) // SOUND_BYTES
            return True
        if kind in ("file", "input_file"):
            self.tokens += _length(holder.get("file_data")) // FILE_BYTES
            return True
        return False


def _length(value: object) -> int:
    return len(value) if isinstance(value, str) else 0


def prompt_of(body: dict[str, Any]) -> Prompt:
    """Everything of ``body`` that a model will read."""
    found = _Gather()
    for name, value in body.items():
        if name not in _NOT_GATHERED and value is not None:
            if type(value) is list:
                value = found.plain(value)  # noqa: PLW2901 - what is left of it
            if value:
                found.take(value)
    data = "\n".join(found.parts).encode("utf-8", "surrogatepass")
    if not _IS_ENCODED.isdisjoint(body):
        data += b"".join([orjson.dumps(value) for name in _ENCODED if (value := body.get(name))])
    return Prompt(data, found.messages, found.images, found.tokens)


def wanted_of(body: dict[str, Any], endpoint: str) -> int | None:
    """The client's own bound of one answer's tokens; the greatest if it gave several.

    Zero is no bound, as some servers take it.  Raises ``BadRequest`` for a
    bound that is no number: another reader might take it for a larger one.
    """
    wanted: int | None = None
    counts = _BOUNDS.get(endpoint, ("max_tokens",))
    for name in _ALL_BOUNDS:
        if name not in body or (value := body[name]) is None:
            continue
        if type(value) is not int or value < 0:
            raise BadRequest(f"{name} must be a whole number, not below 0", param=name)
        if value and name in counts:
            wanted = value if wanted is None else max(wanted, value)
    return wanted


def choices_of(body: dict[str, Any]) -> int:
    """How many answers are asked for.  Raises ``BadRequest`` for no number."""
    if _MULTIPLIES.isdisjoint(body):
        return 1
    choices = 1
    for name in ("n", "best_of"):
        value = body.get(name)
        if value is None:
            continue
        if type(value) is not int or not 0 < value <= MAX_CHOICES:
            raise BadRequest(f"{name} must be between 1 and {MAX_CHOICES}", param=name)
        choices = max(choices, value)
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) > 1 and type(prompt[0]) is not int:
        choices *= len(prompt)
    return choices


def capped(body: dict[str, Any], most: int, endpoint: str, default: str) -> dict[str, int]:
    """The fields to change so that no answer is longer than ``most``.

    ``default`` is the field to set where the client gave none that counts.
    """
    counts = _BOUNDS.get(endpoint, ("max_tokens",))
    changes = {
        name: most
        for name in _ALL_BOUNDS
        if body.get(name) is not None and not 0 < body[name] <= most
    }
    if not any(body.get(name) is not None for name in counts):
        changes[default] = most
    return changes
