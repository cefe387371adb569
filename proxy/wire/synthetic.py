"""Events of our own in somebody's stream, and events numbered anew."""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from proxy.core.frame import Frame
from proxy.wire.leaves import Path

_NUMBER: Final = re.compile(rb'("sequence_number":\s*)\d{1,12}')
_LOGPROBS: Final = re.compile(rb'"logprobs":\s*([\[{])')
_TOKEN: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)
_KEPT: Final = ("id", "object", "created", "model", "system_fingerprint", "service_tier")


def _payload(raw: bytes) -> tuple[dict[str, Any], bytes]:
    """The payload of an event, and its type line."""
    data, kind = b"", b""
    for line in raw.splitlines():
        if line.startswith(b"data:"):
            data = line[5:]
        elif line.startswith(b"event:"):
            kind = line[6:].strip()
    return orjson.loads(data), kind


def piece_of_choice(raw: bytes, path: Path, key: tuple[Any, ...], text: str) -> Frame:
    """A chunk that carries ``text`` where ``raw`` carries its run's last piece."""
    event, kind = _payload(raw)
    value: Any = text
    # From the inside out; lists are named by the index of what stands in them.
    for step, name in zip(reversed(path[3:]), reversed(key[1:]), strict=False):
        value = [{"index": name, **value}] if isinstance(step, int) else {step: value}
    choice = {"index": key[0], "logprobs": None, "finish_reason": None}
    choice |= {"text": text} if path[2] == "text" else {"delta": value}
    kept = {name: event[name] for name in _KEPT if name in event}
    return Frame.of(orjson.dumps({**kept, "choices": [choice]}), kind)


def piece_of_item(raw: bytes, text: str, number: int | None) -> Frame:
    """A delta event like ``raw`` that carries ``text``."""
    event, kind = _payload(raw)
    event.pop("obfuscation", None)
    if event.get("logprobs"):
        event["logprobs"] = []
    if number is not None and "sequence_number" in event:
        event["sequence_number"] = number
    delta = event.get("delta")
    if isinstance(delta, dict):
        name = next((n for n, v in delta.items() if n != "type" and isinstance(v, str)), "text")
        event["delta"] = {**delta, name: text}
    else:
        event["delta"] = text
    return Frame.of(orjson.dumps(event), kind)


def numbered(data: bytes, number: int) -> bytes:
    """A payload with another sequence number."""
    return _NUMBER.sub(rb"\g<1>%d" % number, data, count=1)


def without_logprobs(data: bytes) -> bytes:
    """A payload without the probabilities of tokens that it does not have."""
    out: list[bytes] = []
    done = 0
    for found in _LOGPROBS.finditer(data):
        if found.start(1) < done:
            continue
        depth = 0
        for token in _TOKEN.finditer(data, found.start(1)):
            depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(token[0], 0)
            if not depth:
                out += (data[done : found.start(1)], b"null" if found[1] == b"{" else b"[]")
                done = token.end()
                break
    return b"".join((*out, data[done:]))
