"""A JSON body as a dictionary, and the views of it that routing needs.

Bodies stay what the client sent: unknown fields survive, and a body that
nobody changes is forwarded as its own bytes.  What is refused here is what
two readers could read differently, and what could hurt the process.
"""

from __future__ import annotations

import json
import re
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

import orjson

from proxy.core.errors import BadRequest, InvalidBody

MAX_DEPTH: Final = 100
"""Levels of nesting; deeper bodies have no use and cost readers their stack."""

POLICY_FIELDS: Final = (
    "model", "stream", "messages", "input", "prompt", "max_tokens", "max_completion_tokens",
    "max_output_tokens", "user", "safety_identifier", "n", "best_of", "stream_options", "tools",
    "functions", "instructions", "system", "background",
)  # fmt: skip
"""Fields that decide something here; given twice, we and the upstream might
each believe another of the two."""

MAX_CONTAINERS: Final = 50_000
"""Lists and objects of a body; a reader spends microseconds on each."""
MAX_STRINGS: Final = 500_000
MAX_NAME: Final = 256
"""Characters of a model's name: it is a key in tables, logs and counters."""

_POLICY_FIELDS: Final = frozenset(POLICY_FIELDS)
# By their first letters: all names at every quote would be tried twice as long.
_FIELD_NAMES: Final = re.compile(
    rb'"('
    + "|".join(
        f"{first}(?:{'|'.join(name[1:] for name in names)})"
        for first, names in groupby(sorted(POLICY_FIELDS), itemgetter(0))
    ).encode()
    + rb')"\s*:'
)
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_STRINGS: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_BRACKETS: Final = re.compile(rb"[\[\]{}]")
_OTHERS: Final = re.compile(rb"[^\[\]{}]+")


def parse_json(raw: bytes) -> dict[str, Any]:
    """The body as a dictionary.  Raises ``InvalidBody`` that says where.

    The message never repeats what stands in the body.
    """
    if not raw.strip():
        raise InvalidBody("the body is empty; it must be a JSON object")
    _refuse_large(raw)
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as exc:
        raise InvalidBody(f"the body is not JSON: {_reason(raw, exc)}") from None
    if not isinstance(body, dict):
        raise InvalidBody("the body must be a JSON object")
    for name in body:
        if not (name.islower() and name.isascii()) and name.casefold() in _POLICY_FIELDS:
            # Readers that fold case would take it for the field of that name.
            raise InvalidBody(f"a field is spelled otherwise than {name.casefold()!r}")
    names = _FIELD_NAMES.findall(raw)
    # One byte is found many times faster than four.
    if len(names) > len(set(names)) or (b"\\" in raw and b"\\u00" in raw):
        _refuse_twice(raw)
    return body


def _refuse_large(raw: bytes) -> None:
    """Raise for what would keep a reader busy, before one is asked.

    Depth too: a reader with a recursion limit of its own is not the one to
    ask whether there are too many levels.
    """
    containers = raw.count(b"[") + raw.count(b"{")
    if containers > MAX_DEPTH:
        if containers > MAX_CONTAINERS:
            raise InvalidBody(f"the body has over {MAX_CONTAINERS} lists and objects")
        if _depth(raw) > MAX_DEPTH:
            raise InvalidBody(f"the body is nested over {MAX_DEPTH} levels deep")
    if len(raw) > MAX_STRINGS and raw.count(b'"') > 2 * MAX_STRINGS:
        raise InvalidBody(f"the body has over {MAX_STRINGS} strings")


def _reason(raw: bytes, exc: orjson.JSONDecodeError) -> str:
    """What is wrong with it, and where."""
    where = f"(line {exc.lineno}, column {exc.colno})"
    if _SURROGATE.search(raw) and "surrogate" in exc.msg:
        return f"it holds half of a surrogate pair {where}"
    if "utf-8" in exc.msg.lower() or "str is not valid" in exc.msg:
        # The reader does not say where: it looks at the whole before it begins.
        try:
            raw.decode()
        except UnicodeDecodeError as wrong:
            where = f"(byte {wrong.start}, counted from 0)"
        return f"it is not valid UTF-8 {where}"
    near = raw[max(0, exc.pos - 1) : exc.pos + 9]
    if b"NaN" in near or b"Infinity" in near:
        return f"NaN and Infinity are not JSON {where}"
    is_end = exc.pos >= len(raw.rstrip()) - 1
    return f"{'unexpected end' if is_end else 'unexpected character'} {where}"


def _depth(raw: bytes) -> int:
    """Levels of brackets outside of strings."""
    depth = deepest = 0
    for bracket in _OTHERS.sub(b"", _STRINGS.sub(b"", raw)):
        if bracket in b"[{":
            depth += 1
            if depth > deepest:
                deepest = depth
                if deepest > MAX_DEPTH:
                    return deepest
        else:
            depth -= 1
    return deepest


def _refuse_twice(raw: bytes) -> None:
    """Raise if a policy field stands twice at the top level, escaped or not."""
    last: list[str] = []

    def note(pairs: list[tuple[str, Any]]) -> None:
        # Inner objects end before the outer one: the last call is the body's.
        last[:] = [name for name, _ in pairs if name in POLICY_FIELDS]

    json.loads(raw, object_pairs_hook=note)
    for name in last:
        if last.count(name) > 1:
            raise InvalidBody(f"{name!r} is given twice", param=name)


def model_of(body: dict[str, Any]) -> str:
    """The model's name; empty if there is none."""
    model = body.get("model", "")
    if model is None:
        return ""
    if not isinstance(model, str):
        raise BadRequest("model must be a string", param="model")
    return checked_name(model)


def checked_name(model: str) -> str:
    """A model's name that may be a key here.  Raises ``BadRequest``."""
    if len(model) > MAX_NAME or not model.isprintable():
        raise BadRequest(f"model must be at most {MAX_NAME} printable characters", param="model")
    return model


def stream_of(body: dict[str, Any]) -> bool:
    """Whether a stream is asked for."""
    stream = body.get("stream", False)
    if stream is None:
        return False
    if not isinstance(stream, bool):
        raise BadRequest("stream must be true or false", param="stream")
    return stream


def user_of(body: dict[str, Any]) -> str:
    """Who of the tenant's users the request is for; empty if it does not say."""
    for name in ("safety_identifier", "user"):
        value = body.get(name)
        if isinstance(value, str) and value:
            return value
    return ""


def facts_of(body: dict[str, Any]) -> tuple[bool, bool, int]:
    """Whether there are tools, whether there are images, and bytes of text."""
    size = 0
    has_images = False
    todo: list[object] = [
        body.get(name) for name in ("messages", "input", "prompt", "instructions")
    ]
    while todo:
        value = todo.pop()
        if isinstance(value, str):
            size += len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))
        elif isinstance(value, dict):
            if value.get("type") in ("image_url", "input_image", "image"):
                has_images = True
            else:
                todo.extend(value.values())
        elif isinstance(value, list):
            todo.extend(value)
    return bool(body.get("tools") or body.get("functions")), has_images, size


def estimate_tokens(body: dict[str, Any]) -> int:
    """Input tokens, taken as a quarter of the text's bytes."""
    return (facts_of(body)[2] + 3) // 4
