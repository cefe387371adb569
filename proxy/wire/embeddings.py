"""Batches of embeddings, taken apart and put together by their inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

MAX_INPUTS: Final = 4096

Input = str | list[int]


def inputs_of(body: dict[str, Any]) -> list[Input] | None:
    """What is to be embedded, one by one; ``None`` if it is in no known form."""
    given = body.get("input")
    if isinstance(given, str):
        return [given]
    if not isinstance(given, list) or not 0 < len(given) <= MAX_INPUTS:
        return None
    if all(type(item) is int for item in given):
        return [given]
    if all(isinstance(item, str) for item in given):
        return given
    if all(isinstance(i, list) and i and all(type(n) is int for n in i) for i in given):
        return given
    return None


def pieces_of(answer: bytes, inputs: Sequence[Input]) -> list[tuple[bytes, int]] | None:
    """Each input's part of an answer, and its share of the tokens.

    ``None`` if it is not a whole answer to just these inputs.  What a single
    input cost is not told, so the sum is shared out by their sizes.
    """
    try:
        whole = orjson.loads(answer)
        data = whole["data"]
        if whole.get("error") or len(data) != len(inputs):
            return None
        found = {item["index"]: item["embedding"] for item in data}
        model = whole.get("model")
        pieces = [orjson.dumps({"embedding": found[i], "model": model}) for i in range(len(inputs))]
    except (orjson.JSONDecodeError, TypeError, KeyError, AttributeError):
        # Not in the form of an answer, or nested deeper than can be written.
        return None
    if not all(found.values()):
        return None
    usage = whole.get("usage")
    total = usage.get("prompt_tokens", 0) if isinstance(usage, dict) else 0
    shares = _shares(max(0, total) if type(total) is int else 0, [max(1, len(i)) for i in inputs])
    return list(zip(pieces, shares, strict=True))


def _shares(total: int, sizes: Sequence[int]) -> list[int]:
    """``total`` in parts as large as the sizes say, with nothing lost."""
    whole = sum(sizes)
    shares, before, seen = [], 0, 0
    for size in sizes:
        seen += size
        until = total * seen // whole
        shares.append(until - before)
        before = until
    return shares


def joined(pieces: Sequence[tuple[bytes, int]]) -> bytes:
    """One answer out of the parts of its inputs."""
    items = [orjson.loads(piece) for piece, _ in pieces]
    tokens = sum(share for _, share in pieces)
    return orjson.dumps(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": i, "embedding": item["embedding"]}
                for i, item in enumerate(items)
            ],
            "model": items[0]["model"],
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    )
