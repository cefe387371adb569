"""What the mock upstream says at ``/v1/responses``."""

from __future__ import annotations

from collections.abc import Iterator

from proxy.mock_answers import CREATED, Body, data_line, identity, tool_call, usage, words


def response(body: Body, status: str = "completed") -> Body:
    """A response object."""
    is_done = status == "completed"
    counted = usage(body, len(words(body)))
    return {
        "id": f"resp_{identity(body)}",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "model": body.get("model"),
        "output": [_item(body)] if is_done else [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "error": None,
        "usage": {
            "input_tokens": counted["prompt_tokens"],
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": counted["completion_tokens"],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": counted["total_tokens"],
        }
        if is_done
        else None,
    }


def _item(body: Body) -> Body:
    """The one thing it puts out: a message, or a call of a tool."""
    call = tool_call(body)
    if call is not None:
        named: Body = call["function"]
        return {
            "id": f"fc_{identity(body)}",
            "type": "function_call",
            "status": "completed",
            "call_id": call["id"],
            **named,
        }
    text = "".join(words(body))
    return {
        "id": f"msg_{identity(body)}",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}],
    }


def response_events(body: Body) -> Iterator[bytes]:
    """A response as it streams, numbered without gaps."""
    whole, begun = response(body), response(body, "in_progress")
    item = whole["output"][0]
    is_call = item["type"] == "function_call"
    empty = {**item, "status": "in_progress", **({"arguments": ""} if is_call else {"content": []})}
    events: list[Body] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": empty},
        *(_arguments(item) if is_call else _text(item, words(body))),
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": whole},
    ]
    for number, event in enumerate(events):
        kind = event["type"].encode()
        yield b"event: " + kind + b"\n" + data_line({**event, "sequence_number": number})


def _text(item: Body, pieces: list[str]) -> Iterator[Body]:
    at = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    part = item["content"][0]
    yield {"type": "response.content_part.added", **at, "part": {**part, "text": ""}}
    for piece in pieces:
        yield {"type": "response.output_text.delta", **at, "delta": piece, "logprobs": []}
    yield {"type": "response.output_text.done", **at, "text": part["text"], "logprobs": []}
    yield {"type": "response.content_part.done", **at, "part": part}


def _arguments(item: Body) -> Iterator[Body]:
    at = {"item_id": item["id"], "output_index": 0}
    kind, said = "response.function_call_arguments", item["arguments"]
    for piece in (said[:4], said[4:]):
        yield {"type": f"{kind}.delta", **at, "delta": piece}
    yield {"type": f"{kind}.done", **at, "name": item["name"], "arguments": said}
