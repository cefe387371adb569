"""The events that a whole answer would have come in, had a stream been asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import orjson

from proxy.core.endpoint import Endpoint

Json = dict[str, Any]

_ABOUT: Final = ("id", "created", "model", "system_fingerprint", "service_tier")


def synthesise(endpoint: Endpoint, whole: Json) -> bytes:
    """Events that add up to ``whole``, without usage of chat and without ``[DONE]``."""
    if endpoint.dialect == "responses":
        return b"".join(_numbered(_response(whole)))
    make = _chat if endpoint.name == "chat" else _text
    return b"".join(b"data: " + orjson.dumps(event) + b"\n\n" for event in make(whole))


def usage_event(endpoint: Endpoint, whole: Json) -> bytes:
    """The event that tells the usage of a chat stream, where it is known."""
    if endpoint.dialect != "chat" or not whole.get("usage"):
        return b""
    event = {**_about(whole, endpoint.name), "choices": [], "usage": whole["usage"]}
    return b"data: " + orjson.dumps(event) + b"\n\n"


def _about(whole: Json, kind: str) -> Json:
    about: Json = {name: whole[name] for name in _ABOUT if name in whole}
    about["object"] = "chat.completion.chunk" if kind == "chat" else "text_completion"
    return about


def _chat(whole: Json) -> Iterator[Json]:
    about = _about(whole, "chat")
    for choice in whole["choices"]:
        message = dict(choice.get("message") or {})
        calls = message.pop("tool_calls", None)
        index = choice["index"]
        first = {"role": message.pop("role", "assistant")}
        if message.get("content") is not None:
            first["content"] = ""
        yield _chunk(about, index, first)
        content = message.pop("content", None)
        rest = {k: v for k, v in message.items() if v is not None and v != []}
        if rest:
            yield _chunk(about, index, rest)
        if content is not None or choice.get("logprobs") is not None:
            delta = {"content": content} if content is not None else {}
            yield _chunk(about, index, delta, logprobs=choice.get("logprobs"))
        for i, call in enumerate(calls or ()):
            yield _chunk(about, index, {"tool_calls": [{**call, "index": i}]})
        more = {
            k: v
            for k, v in choice.items()
            if k not in ("index", "message", "logprobs", "finish_reason")
        }
        yield _chunk(about, index, {}, finish_reason=choice["finish_reason"], **more)


def _chunk(about: Json, index: int, delta: Json, **more: Any) -> Json:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None, **more}
    return {**about, "choices": [choice]}


def _text(whole: Json) -> Iterator[Json]:
    about = _about(whole, "completions")
    for choice in whole["choices"]:
        yield {**about, "choices": [choice]}


def _numbered(events: Iterator[Json]) -> Iterator[bytes]:
    for number, event in enumerate(events):
        event["sequence_number"] = number
        yield b"event: " + event["type"].encode() + b"\ndata: " + orjson.dumps(event) + b"\n\n"


def _response(whole: Json) -> Iterator[Json]:
    begun = {**whole, "status": "in_progress", "output": [], "usage": None, "completed_at": None}
    if "completed_at" not in whole:
        del begun["completed_at"]
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for index, item in enumerate(whole["output"]):
        yield from _item(index, item)
    yield {"type": "response.completed", "response": whole}


def _item(index: int, item: Json) -> Iterator[Json]:
    at = {"output_index": index}
    kind = item.get("type")
    empty = dict(item)
    if "status" in item:
        empty["status"] = "in_progress"
    for name, nothing in (("content", []), ("summary", []), ("arguments", ""), ("input", "")):
        if name in empty:
            empty[name] = nothing
    yield {"type": "response.output_item.added", **at, "item": empty}
    at["item_id"] = item.get("id", "")
    if kind == "function_call":
        name = "response.function_call_arguments"
        yield {"type": f"{name}.delta", **at, "delta": item.get("arguments", "")}
        yield {"type": f"{name}.done", **at, "arguments": item.get("arguments", ""),
               "name": item.get("name", "")}  # fmt: skip
    elif kind == "custom_tool_call":
        name = "response.custom_tool_call_input"
        yield {"type": f"{name}.delta", **at, "delta": item.get("input", "")}
        yield {"type": f"{name}.done", **at, "input": item.get("input", "")}
    for number, part in enumerate(item.get("summary") or ()):
        yield from _part(at, part, ("summary_index", number), "response.reasoning_summary_part",
                         "response.reasoning_summary_text")  # fmt: skip
    name = "response.reasoning_text" if kind == "reasoning" else "response.output_text"
    for number, part in enumerate(item.get("content") or ()):
        yield from _part(at, part, ("content_index", number), "response.content_part", name)
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _part(at: Json, part: Json, place: tuple[str, int], around: str, name: str) -> Iterator[Json]:
    """A part of an item: begun, its text, done."""
    at = {**at, place[0]: place[1]}
    text = part.get("text", "")
    more: Json = {"logprobs": part.get("logprobs") or []} if name.endswith("output_text") else {}
    begun = {**part, "text": ""}
    for listed in ("annotations", "logprobs"):
        if listed in begun:
            begun[listed] = []
    yield {"type": f"{around}.added", **at, "part": begun}
    yield {"type": f"{name}.delta", **at, "delta": text, **more}
    for number, note in enumerate(part.get("annotations") or ()):
        yield {"type": "response.output_text.annotation.added", **at,
               "annotation_index": number, "annotation": note}  # fmt: skip
    yield {"type": f"{name}.done", **at, "text": text, **more}
    yield {"type": f"{around}.done", **at, "part": part}
