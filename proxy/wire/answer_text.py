"""The texts of an answer, whole or as they grow event by event.

As in requests, every string is a text unless its name says that it steers.
A text that grows is told apart by the numbers of its choice, item or call and
by the path at which its pieces stand; its pieces put together are the text.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any, Final, NamedTuple

from proxy.wire.events import TERMINAL
from proxy.wire.prompt import OWN_NAMES

_STRUCTURE: Final = frozenset(
    {
        "role", "type", "id", "object", "model", "status", "finish_reason", "stop_reason",
        "system_fingerprint", "service_tier", "item_id", "call_id", "response_id", "tool_use_id",
        "encrypted_content", "signature", "logprobs", "usage", "obfuscation", "b64_json",
        "embedding", "partial_image_b64", "previous_response_id", "native_finish_reason",
        "provider", "phase", "container_id", "file_id", "format",
    }
)  # fmt: skip
"""Names of what no person reads, or what repeats the text beside it."""

_NUMBERS: Final = ("index", "output_index", "content_index", "summary_index", "item_id")
_NOTHING: Final[frozenset[str]] = frozenset()
_NUMBERED: Final = frozenset(_NUMBERS)
_HOLDERS: Final = (str, dict, list)
_ENDS: Final = frozenset({"message_stop", *TERMINAL})


class Piece(NamedTuple):
    """Text of an answer.

    ``key`` names the text that the piece belongs to; ``None`` says that this
    is all of it.
    """

    key: Hashable
    text: str


def is_last(event: dict[str, Any]) -> bool:
    """Whether an event ends its stream; ``[DONE]`` is no event."""
    kind = event.get("type")
    return isinstance(kind, str) and kind in _ENDS


def pieces_of(event: dict[str, Any], *, grows: bool) -> list[Piece]:
    """All texts in an event of a stream (``grows``) or in a whole answer."""
    kind = event.get("type")
    if isinstance(kind, str) and kind.startswith("response."):
        grows = kind.endswith(".delta")
        base: tuple[Hashable, ...] = (kind, *_numbers(event))
        event = _without_echo(event)
    else:
        base = _numbers(event)
        if event.get("object") == "response":
            event = _without_echo({"response": event})
    pieces = _gathered(event, base)
    return pieces if grows else [Piece(None, piece.text) for piece in pieces]


def _without_echo(event: dict[str, Any]) -> dict[str, Any]:
    """A Responses event without the request that it repeats."""
    response = event.get("response")
    if not isinstance(response, dict):
        return event
    kept = {name: response[name] for name in ("output", "output_text") if name in response}
    return {**event, "response": kept}


def _numbers(value: dict[str, Any]) -> tuple[Hashable, ...]:
    if _NUMBERED.isdisjoint(value):
        return ()
    return tuple([n for name in _NUMBERS if isinstance(n := value.get(name), int | str)])


def _gathered(event: dict[str, Any], base: tuple[Hashable, ...]) -> list[Piece]:
    """All texts in their order; not by recursion, as upstreams nest as they like."""
    pieces: list[Piece] = []
    # Beside each value stands what of its names is passed over.
    todo: list[tuple[tuple[Hashable, ...], Any, frozenset[str]]] = [(base, event, _STRUCTURE)]
    while todo:
        path, value, passed = todo.pop()
        if value.__class__ is str:
            if value:
                pieces.append(Piece(path, value))
        elif value.__class__ is dict:
            # Most of an event is numbers and nulls, which are passed over here.
            inner = [
                ((*path, name), item, _NOTHING if name in OWN_NAMES else passed)
                for name, item in value.items()
                if item.__class__ in _HOLDERS and name not in passed
            ]
            todo += inner[::-1]
        else:
            for i in range(len(value) - 1, -1, -1):
                item = value[i]
                if item.__class__ in _HOLDERS:
                    number = _numbers(item) if item.__class__ is dict else ()
                    todo.append(((*path, *(number or (i,))), item, passed))
    return pieces


def contents_of(event: dict[str, Any], *, grows: bool) -> Iterator[Piece]:
    """What the model said to the person, by choice or by part; no calls, no
    thoughts.
    """
    choices = event.get("choices")
    for i, choice in enumerate(choices if isinstance(choices, list) else ()):
        if isinstance(choice, dict):
            number = choice.get("index", i)
            said = choice.get("delta" if grows else "message")
            text = said.get("content") if isinstance(said, dict) else choice.get("text")
            if isinstance(text, str) and text:
                yield Piece(number if isinstance(number, int) else i, text)
    if event.get("type") == "response.output_text.delta" and isinstance(event.get("delta"), str):
        yield Piece(_numbers(event), event["delta"])
    if event.get("object") == "response" and isinstance(event.get("output"), list):
        for i, item in enumerate(event["output"]):
            for j, part in enumerate(_parts(item)):
                if part.get("type") == "output_text" and isinstance(part.get("text"), str):
                    yield Piece((i, j), part["text"])


def _parts(item: object) -> list[dict[str, Any]]:
    content = item.get("content") if isinstance(item, dict) else None
    return [p for p in content if isinstance(p, dict)] if isinstance(content, list) else []
