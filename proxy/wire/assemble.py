"""The whole answer that a stream's events add up to, and whether it is a good one.

Only a stream that ended as streams of its kind do has a whole answer: after
``[DONE]``, or with ``response.completed``.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from proxy.core.endpoint import Endpoint
from proxy.core.errors import UpstreamFailed
from proxy.core.frame import Frame
from proxy.wire.sse import Framer

Json = dict[str, Any]

GOOD: Final = frozenset({"stop", "tool_calls", "function_call"})
_SET: Final = frozenset({"role", "id", "type", "index"})
_OBJECTS: Final = {"chat": "chat.completion", "completions": "text_completion"}
_OWN_ITEMS: Final = frozenset({"message", "reasoning", "function_call", "custom_tool_call"})


def assemble(endpoint: Endpoint, events: bytes) -> Json | None:
    """The whole answer; ``None`` if the stream is not complete and plain."""
    try:
        frames = Framer().feed(events)
        if endpoint.dialect == "responses":
            return _response(frames)
        if endpoint.name in _OBJECTS:
            return _completion(frames, endpoint.name)
    except (
        orjson.JSONDecodeError, UpstreamFailed, TypeError, KeyError, AttributeError, RecursionError,
    ):  # fmt: skip
        # Not in the form of its kind, so nothing can be said of it.
        return None
    return None


def _response(frames: list[Frame]) -> Json | None:
    last = next((f for f in reversed(frames) if f.data), None)
    if last is None:
        return None
    event = orjson.loads(last.data)
    response = event.get("response") if event.get("type") == "response.completed" else None
    return response if isinstance(response, dict) else None


def _completion(frames: list[Frame], kind: str) -> Json | None:
    top: Json = {}
    choices: dict[int, Json] = {}
    is_done = False
    for frame in frames:
        if not frame.data:
            continue
        if is_done:
            return None
        if frame.is_done:
            is_done = True
            continue
        event = orjson.loads(frame.data)
        if event.get("error"):
            return None
        for name, value in event.items():
            if name not in ("choices", "object", "obfuscation") and value is not None:
                top[name] = value
        for choice in event.get("choices") or ():
            _add(choices.setdefault(choice["index"], {"index": choice["index"]}), choice, kind)
    if not is_done or not choices:
        return None
    listed = [_closed(choices[index], kind) for index in sorted(choices)]
    return {**top, "object": _OBJECTS[kind], "choices": listed}


def _add(into: Json, choice: Json, kind: str) -> None:
    """One chunk's part of a choice."""
    for name, value in choice.items():
        if name == "delta" and kind == "chat":
            _merge(into.setdefault("message", {}), value or {})
        elif name in ("text", "logprobs"):
            _merge(into, {name: value})
        elif value is not None or name not in into:
            into[name] = value


def _merge(into: Json, delta: Json) -> None:
    """What a delta adds: text to text, lists by index, the rest in its place."""
    for name, value in delta.items():
        old = into.get(name)
        if value is None:
            into.setdefault(name, None)
        elif isinstance(value, dict) and isinstance(old, dict | None):
            into[name] = old if old is not None else {}
            _merge(into[name], value)
        elif isinstance(value, list) and isinstance(old, list | None):
            into[name] = old if old is not None else []
            _merge_list(into[name], value)
        elif isinstance(old, str) and isinstance(value, str) and name not in _SET:
            into[name] = old + value
        else:
            into[name] = value


def _merge_list(into: list[Any], items: list[Any]) -> None:
    for item in items:
        if isinstance(item, dict) and isinstance(item.get("index"), int):
            found = next(
                (i for i in into if isinstance(i, dict) and i.get("index") == item["index"]), None
            )
            if found is None:
                found = {}
                into.append(found)
            _merge(found, item)
        else:
            into.append(item)


def _closed(choice: Json, kind: str) -> Json:
    """A choice as an unstreamed answer has it."""
    choice.setdefault("finish_reason", None)
    choice.setdefault("logprobs", None)
    if kind == "chat":
        message = choice.setdefault("message", {})
        message.setdefault("role", "assistant")
        message.setdefault("content", None)
        if not message["content"] and (message.get("tool_calls") or message.get("function_call")):
            message["content"] = None
        for call in message.get("tool_calls") or ():
            call.pop("index", None)
    return choice


def flaw_of(endpoint: Endpoint, whole: Json) -> str:
    """Why an answer is not to be given twice, in a word; empty for a good one."""
    if whole.get("error"):
        return "error"
    if endpoint.name == "embeddings":
        return "" if isinstance(whole.get("data"), list) else "shape"
    if endpoint.dialect == "responses":
        return _response_flaw(whole)
    choices = whole.get("choices")
    if not isinstance(choices, list) or not choices:
        return "shape"
    for choice in choices:
        if not isinstance(choice, dict) or choice.get("finish_reason") not in GOOD:
            return "finish"
        message = choice.get("message")
        if isinstance(message, dict) and message.get("refusal"):
            return "refusal"
    return ""


def _response_flaw(whole: Json) -> str:
    if whole.get("status") != "completed" or whole.get("incomplete_details"):
        return "finish"
    output = whole.get("output")
    if not isinstance(output, list) or not output:
        return "shape"
    for item in output:
        if not isinstance(item, dict) or item.get("type") not in _OWN_ITEMS:
            return "item"
        if item.get("status", "completed") not in ("completed", None):
            return "finish"
        for part in item.get("content") or ():
            if isinstance(part, dict) and part.get("type") == "refusal":
                return "refusal"
    return ""
