"""One stored form of an answer, given out as JSON or as events.

What came as a stream is kept as its own events beside the answer they add up
to; what came whole is turned into events when somebody asks for them.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

import orjson

from proxy.core.endpoint import Endpoint
from proxy.wire.assemble import assemble, flaw_of
from proxy.wire.events import event_of, split
from proxy.wire.synthesis import synthesise, usage_event

FORM: Final = 3
"""Version of the packed form; another is not read."""

DONE: Final = b"data: [DONE]\n\n"
_PREFIX: Final = {"chat": b"chatcmpl-", "completions": b"cmpl-", "responses": b"resp_"}
_COMPACT: Final = (b'"id":"%s"', b'"response_id":"%s"')
_SPACED: Final = (b'"id": "%s"', b'"response_id": "%s"')
_ODD: Final = (TypeError, KeyError, AttributeError, ValueError)
"""What readers raise of an answer that is not in the form of its kind."""

_ID: Final = re.compile(rb"[!#-\[\]-~]{1,128}")  # plain, so never escaped in JSON


class Entry(NamedTuple):
    """A stored answer.

    ``at`` is when it was made (seconds since 1970), ``ttl`` and ``stale`` how
    long it is fresh and how long it then serves on.  ``usage`` is prompt and
    completion tokens, ``cost`` billionths of a dollar: what a hit avoids.
    ``events`` are those of a stream, less the one that tells usage and
    ``[DONE]``; empty where the answer came whole.  ``flags`` are the guards
    that flagged it, ``asker`` the id of the request that it answered.
    """

    at: float
    ttl: float
    stale: float
    status: int = 200
    kind: str = ""
    ident: str = ""
    target: str = ""
    usage: tuple[int, int] = (0, 0)
    cost: int = 0
    finish: str = ""
    whole: bytes = b""
    events: bytes = b""
    told: bytes = b""
    flags: tuple[str, ...] = ()
    asker: str = ""

    def pack(self) -> bytes:
        """All of it as bytes."""
        head = orjson.dumps(
            [FORM, self.at, self.ttl, self.stale, self.status, self.kind, self.ident, self.target,
             self.usage, self.cost, self.finish, self.flags, self.asker, len(self.whole),
             len(self.events), len(self.told)]
        )  # fmt: skip
        return b"%s\n%s%s%s" % (head, self.whole, self.events, self.told)

    @classmethod
    def unpack(cls, data: bytes) -> Entry:
        """Read what ``pack`` wrote.  Raises ``ValueError`` for anything else."""
        try:
            return cls._unpack(data)
        except (TypeError, IndexError) as exc:
            raise ValueError("an entry of another form") from exc

    @classmethod
    def _unpack(cls, data: bytes) -> Entry:
        begin = data.find(b"\n") + 1
        head = orjson.loads(data[:begin])
        if not isinstance(head, list) or len(head) != 16 or head[0] != FORM:
            raise ValueError("an entry of another form")
        (
            _, at, ttl, stale, status, kind, ident, target, usage, cost, finish, flags, asker,
            one, two, three,
        ) = head  # fmt: skip
        events = begin + one
        told = events + two
        if len(data) != told + three:
            raise ValueError("an entry of another length")
        # By place: by name it takes half as long again, and every hit is read.
        return tuple.__new__(
            cls,
            (at, ttl, stale, status, kind, ident, target, (usage[0], usage[1]), cost, finish,
             data[begin:events], data[events:told], data[told:], tuple(flags), asker)
        )  # fmt: skip


def parts_of(endpoint: Endpoint, body: bytes, *, is_stream: bool) -> dict[str, Any] | str:
    """``whole``, ``events``, ``told`` and ``ident`` of an answer that came, and
    its ``flaw`` in a word; only a word where it is not even a whole one.
    """
    whole = assemble(endpoint, body) if is_stream else event_of(body)
    if whole is None:
        return "incomplete" if is_stream else "shape"
    ident = whole.get("id")
    made: dict[str, Any] = {
        "kind": endpoint.name,
        "ident": ident if isinstance(ident, str) and _ID.fullmatch(ident.encode()) else "",
    }
    try:
        made["flaw"] = flaw_of(endpoint, whole)
        if is_stream:
            made["whole"] = orjson.dumps(whole)
        elif not made["flaw"] and endpoint.dialect != "plain":
            # What cannot be told in events would fail whoever asks for them.
            synthesise(endpoint, whole)
    except _ODD:
        return "shape"
    if not is_stream:
        return {**made, "whole": body}
    events, told = _without_end(body) if endpoint.dialect == "chat" else (body, b"")
    return {**made, "events": events, "told": told}


def _without_end(body: bytes) -> tuple[bytes, bytes]:
    """The events of a chat stream less ``[DONE]``, and the one that tells usage."""
    kept, told = [], b""
    for event in split(body):
        if _tells_usage(event):
            told = event
        elif event.strip() != DONE.strip():
            kept.append(event)
    return b"".join(kept), told


def replay(
    endpoint: Endpoint, entry: Entry, *, stream: bool, tells_usage: bool, new_id: str
) -> bytes:
    """The body of a hit, in the form that is asked for, with an id of its own."""
    old = entry.ident
    if not stream:
        return renamed(entry.whole, endpoint, old, new_id)
    events, told = entry.events, entry.told
    whole = None
    if not events:
        whole = orjson.loads(entry.whole)
        events = synthesise(endpoint, whole)
    body = renamed(events, endpoint, old, new_id)
    if endpoint.dialect == "chat":
        if tells_usage:
            told = told or usage_event(endpoint, whole or orjson.loads(entry.whole))
            body += renamed(told, endpoint, old, new_id)
        body += DONE
    return body


def renamed(data: bytes, endpoint: Endpoint, old: str, new: str) -> bytes:
    """The same answer under another id.

    A quote inside a JSON string is escaped, so an id with plain quotes and its
    name before it is the answer's own.
    """
    if not old:
        return data
    was, now = old.encode(), _PREFIX.get(endpoint.name, b"") + new.encode()
    # Whoever wrote it, all of it, put spaces behind colons or did not; the first
    # id stands near its beginning.
    names = _COMPACT if _COMPACT[0] % was in data else _SPACED
    for name in names if endpoint.dialect == "responses" else names[:1]:
        data = data.replace(name % was, name % now)
    return data


def without_usage(data: bytes) -> bytes:
    """Whole events of a chat stream, less the one that only tells usage."""
    if b'_tokens"' not in data:
        return data
    events = split(data)
    # Part of an event too large to hold passes as it is.
    rest = data[sum(map(len, events)) :]
    return b"".join([event for event in events if not _tells_usage(event)]) + rest


def _tells_usage(event: bytes) -> bool:
    if b'"usage"' not in event:
        return False
    payload = event.partition(b"data:")[2].strip()
    try:
        said = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return False
    return isinstance(said, dict) and said.get("choices") == [] and bool(said.get("usage"))
