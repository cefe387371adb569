"""What the mock upstream says: always the same to the same request."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, Final

import orjson

CREATED: Final = 1_767_225_600
PIXEL: Final = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
Body = dict[str, Any]


def last_text(body: Body) -> str:
    """The last thing that was said, as text."""
    messages = body.get("messages", body.get("input", body.get("prompt", "")))
    if isinstance(messages, list) and messages:
        last = messages[-1]
        messages = last.get("content", "") if isinstance(last, dict) else last
    if isinstance(messages, list):
        texts = [p.get("text", "") for p in messages if isinstance(p, dict)]
        return " ".join(t for t in texts if isinstance(t, str))
    return messages if isinstance(messages, str) else ""


def words(body: Body) -> list[str]:
    """The answer, in the pieces a model would stream."""
    text = last_text(body)
    if wants_json(body):
        return ['{"heard":', f" {len(text)}", ', "ok": true}']
    said = f"You said {len(text.split())} words: {text[:60]}"
    limit = body.get("max_tokens") or body.get("max_completion_tokens") or 64
    pieces = [w if i == 0 else f" {w}" for i, w in enumerate(said.split())]
    count = limit if isinstance(limit, int) and limit > 0 else 64
    return pieces[:count]


def wants_json(body: Body) -> bool:
    """Whether the request asks for a JSON object."""
    form = body.get("response_format")
    return isinstance(form, dict) and str(form.get("type", "")).startswith("json")


def usage(body: Body, pieces: int) -> Body:
    """Tokens: a quarter of the prompt's bytes, and one for each piece."""
    prompt = max(1, len(last_text(body)) // 4)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": pieces,
        "total_tokens": prompt + pieces,
        "prompt_tokens_details": {"cached_tokens": 0},
    }


def tool_call(body: Body) -> Body | None:
    """A call of the first tool whose name the last message speaks of."""
    text = last_text(body)
    for tool in body.get("tools") or []:
        # Responses have the name in the tool itself.
        function = tool.get("function", tool) if isinstance(tool, dict) else {}
        name = function.get("name", "")
        if name and name in text:
            return {
                "id": "call_mock",
                "type": "function",
                "function": {"name": name, "arguments": '{"heard": "' + name + '"}'},
            }
    return None


def identity(body: Body) -> str:
    """An id that depends on the request alone."""
    return blake2b(orjson.dumps(body), digest_size=8).hexdigest()


def chat(body: Body) -> Body:
    """A chat completion."""
    pieces, call = words(body), tool_call(body)
    message: Body = {"role": "assistant", "content": None if call else "".join(pieces)}
    if call is not None:
        message["tool_calls"] = [call]
    reason = "tool_calls" if call else "stop"
    choices = [
        {"index": i, "message": message, "logprobs": None, "finish_reason": reason}
        for i in range(body.get("n") or 1)
    ]
    return {
        "id": f"chatcmpl-{identity(body)}",
        "object": "chat.completion",
        "created": CREATED,
        "model": body.get("model"),
        "choices": choices,
        "usage": usage(body, len(pieces) * len(choices)),
    }


def chat_events(body: Body) -> Iterator[bytes]:
    """A chat completion as it streams."""
    base = {
        "id": f"chatcmpl-{identity(body)}",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": body.get("model"),
    }

    def chunk(index: int, delta: Body, reason: str | None = None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
        return data_line({**base, "choices": [choice]})

    numbers = range(body.get("n") or 1)
    pieces, call = words(body), tool_call(body)
    for i in numbers:
        yield chunk(i, {"role": "assistant", "content": None if call else ""})
    if call is not None:
        first = {**call, "index": 0, "function": {**call["function"], "arguments": ""}}
        arguments = call["function"]["arguments"]
        for i in numbers:
            yield chunk(i, {"tool_calls": [first]})
            for part in (arguments[:4], arguments[4:]):
                yield chunk(i, {"tool_calls": [{"index": 0, "function": {"arguments": part}}]})
    else:
        for piece in pieces:
            for i in numbers:
                yield chunk(i, {"content": piece})
    for i in numbers:
        yield chunk(i, {}, "tool_calls" if call else "stop")
    if (body.get("stream_options") or {}).get("include_usage"):
        yield data_line({**base, "choices": [], "usage": usage(body, len(pieces) * len(numbers))})
    yield b"data: [DONE]\n\n"


def completion(body: Body) -> Body:
    """A legacy completion."""
    pieces = words(body)
    choice = {"index": 0, "text": "".join(pieces), "logprobs": None, "finish_reason": "stop"}
    return {
        "id": f"cmpl-{identity(body)}",
        "object": "text_completion",
        "created": CREATED,
        "model": body.get("model"),
        "choices": [choice],
        "usage": usage(body, len(pieces)),
    }


def completion_events(body: Body) -> Iterator[bytes]:
    """A legacy completion as it streams."""
    whole = completion(body)
    base = {k: whole[k] for k in ("id", "object", "created", "model")}
    for piece in words(body):
        choice = {"index": 0, "text": piece, "logprobs": None, "finish_reason": None}
        yield data_line({**base, "choices": [choice]})
    done = {"index": 0, "text": "", "logprobs": None, "finish_reason": "stop"}
    yield data_line({**base, "choices": [done]})
    if (body.get("stream_options") or {}).get("include_usage"):
        yield data_line({**base, "choices": [], "usage": whole["usage"]})
    yield b"data: [DONE]\n\n"


def embeddings(body: Body) -> Body:
    """Unit vectors that depend on the text alone."""
    given = body.get("input", "")
    texts = (
        given if isinstance(given, list) and given and not isinstance(given[0], int) else [given]
    )
    size = body.get("dimensions") or 8
    data = []
    for i, text in enumerate(texts):
        vector = _vector(orjson.dumps(text), size)
        packed = base64.b64encode(struct.pack(f"<{size}f", *vector)).decode()
        shown = packed if body.get("encoding_format") == "base64" else vector
        data.append({"object": "embedding", "index": i, "embedding": shown})
    tokens = max(1, len(orjson.dumps(given)) // 4)
    return {
        "object": "list",
        "model": body.get("model"),
        "data": data,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _vector(text: bytes, size: int) -> list[float]:
    seeds = [blake2b(text, digest_size=2, salt=b"%d" % i).digest() for i in range(size)]
    values = [int.from_bytes(s, "big") / 65536 - 0.5 for s in seeds]
    length = math.sqrt(sum(v * v for v in values)) or 1.0
    return [round(v / length, 6) for v in values]


def data_line(value: Body) -> bytes:
    """An event of a stream."""
    return b"data: " + orjson.dumps(value) + b"\n\n"
