"""What the mock upstream says at ``/v1/responses``."""

from __future__ import annotations

from collections.abc import Iterator

from proxy.mock_answers import CREATED, Body, data_line, identity, usage, words


def response(body: Body, status: str = "completed") -> Body:
    """A response object."""
    pieces = words(body)
    counted = usage(body, len(pieces))
    is_done = status == "completed"
    content = {"type": "output_text", "text": "".join(pieces), "annotations": [], "logprobs": []}
    message = {
        "id": f"msg_{identity(body)}",
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": [content],
    }
    return {
        "id": f"resp_{identity(body)}",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "model": body.get("model"),
        "output": [message] if is_done else [],
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


def response_events(body: Body) -> Iterator[bytes]:
    """A response as it streams, numbered without gaps."""
    whole, begun = response(body), response(body, "in_progress")
    item = whole["output"][0]
    at = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    part = item["content"][0]
    empty = {**item, "status": "in_progress", "content": []}
    events: list[Body] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": empty},
        {"type": "response.content_part.added", **at, "part": {**part, "text": ""}},
        *(
            {"type": "response.output_text.delta", **at, "delta": piece, "logprobs": []}
            for piece in words(body)
        ),
        {"type": "response.output_text.done", **at, "text": part["text"], "logprobs": []},
        {"type": "response.content_part.done", **at, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": whole},
    ]
    for number, event in enumerate(events):
        kind = event["type"].encode()
        yield b"event: " + kind + b"\n" + data_line({**event, "sequence_number": number})
