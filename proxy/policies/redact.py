"""Keep what is personal or secret from providers, and put it back in answers.

Requests are changed before anything is cached, counted or sent; what was
taken out is known to the exchange alone and goes with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import orjson

from proxy.core.errors import (
    ContentFiltered,
    DetectorUnavailable,
    InvalidBody,
    PathNotAllowed,
    UnsupportedEncoding,
)
from proxy.core.exchange import End, Exchange, Head
from proxy.core.frame import Frame
from proxy.core.policy import Answer, Policy, Send, StreamHalf
from proxy.core.ports import Recogniser
from proxy.redact.exchange import Channel, Redaction
from proxy.redact.memory import Conversations
from proxy.redact.pseudonyms import MARK, TenantKey
from proxy.redact.ruleset import Ruleset
from proxy.wire.deltas import Rewriter
from proxy.wire.form import rewrite_form
from proxy.wire.forms import form_boundary
from proxy.wire.leaves import Path, rewrite
from proxy.wire.structural import is_name, is_structural
from proxy.wire.synthetic import without_logprobs
from proxy.wire.texts import asks_json, refuse_tokens, rewrite_texts, stored_ids

HEADER = b"x-sidestream-redactions"
_MARK = MARK.encode()

Count = Callable[[str, str, int], None]
"""Told of a kind, what was done with it and how often."""


class RedactPolicy(Policy):
    """Sets ``redaction`` and replaces ``raw`` and ``body``.

    A route's ruleset comes in the place of the tenant's.
    """

    name = "redact"

    def __init__(
        self,
        tenants: Mapping[str, Ruleset],
        routes: Mapping[str, Ruleset],
        key_for: Callable[[Ruleset, str], TenantKey],
        memory: Conversations,
        count: Count,
        max_body: int,
    ) -> None:
        self._tenants = tenants
        self._routes = routes
        self._key_for = key_for
        self._memory = memory
        self._count = count
        self._max_body = max_body

    @property
    def is_idle(self) -> bool:
        """Whether nothing is redacted."""
        return not self._tenants and not self._routes

    async def on_request(self, x: Exchange) -> Answer | None:
        """Redact the body; 400 says which rule stopped it."""
        rules = self._routes.get(x.route) or self._tenants.get(x.tenant)
        if rules is None:
            return None
        if x.endpoint.is_socket:
            raise PathNotAllowed("this path cannot be redacted, so it is closed to you")
        x.redaction = redaction = Redaction(rules, self._key_for(rules, x.tenant))
        if rules.restore and (ids := stored_ids(x.body, x.path)):
            redaction.pseudonyms.recall(self._memory.recall(x.tenant, ids))
        try:
            await self._body(x, redaction)
        finally:
            if redaction.counts:
                x.answer_headers.append((HEADER, header_of(redaction)))
        return None

    async def _body(self, x: Exchange, redaction: Redaction) -> None:
        if x.body is not None and x.raw is not None:
            if not redaction.rules.allows_unreadable:
                refuse_tokens(x.body)
            if redaction.is_clean(x.raw):
                return
            if redaction.rules.recogniser is not None:
                await recognise(redaction, redaction.rules.recogniser, x.raw)
            made = rewrite_texts(redaction.request_text, x.raw)
            if made is not None:
                # A text in a value may be its own JSON, so it is read again.
                x.raw, x.body = made, orjson.loads(made)
        elif x.intake.has_body and x.raw is None:
            await self._streamed(x, redaction)

    async def _streamed(self, x: Exchange, redaction: Redaction) -> None:
        """A body that would otherwise stream through unread."""
        kind = x.headers.get("content-type", "")
        boundary = form_boundary(kind)
        if boundary is not None:
            if x.intake.is_encoded:
                raise UnsupportedEncoding("send the form without content-encoding")
            body = await x.intake.peek(self._max_body, lambda _: False)
            made = rewrite_form(
                body,
                boundary,
                redaction.request_text,
                partial(rewrite_texts, redaction.request_text),
            )
            if made is not None:
                x.intake.edit(made)
            return
        x.raw = await x.intake.read(self._max_body)
        if b"json" in kind.encode("latin-1", "replace").lower():
            try:
                orjson.loads(x.raw)
            except orjson.JSONDecodeError as exc:
                raise InvalidBody("the body is not JSON") from exc
            if redaction.rules.recogniser is not None:
                await recognise(redaction, redaction.rules.recogniser, x.raw)
            x.raw = rewrite_texts(redaction.request_text, x.raw) or x.raw
        elif redaction.rules.is_closed:
            raise UnsupportedEncoding("a body of this content-type cannot be redacted")

    def on_response(self, x: Exchange, head: Head) -> StreamHalf | None:
        """A half that restores and scans, if there is anything to do."""
        redaction: Redaction | None = x.redaction
        if redaction is None:
            return None
        if not redaction.pseudonyms.originals and redaction.rules.answers is None:
            return None
        if head.is_stream:
            return _Stream(redaction, json_content=asks_json(x.body))
        kind = head.content_type
        if b"json" in kind or kind.startswith(b"text/"):
            return _Whole(x, redaction, json_content=asks_json(x.body))
        return None

    def on_end(self, x: Exchange, end: End) -> None:
        """Count by kind and action."""
        redaction: Redaction | None = x.redaction
        if redaction is None:
            return
        if redaction.response_id and redaction.pseudonyms.originals and not _is_forgotten(x):
            ids = {redaction.response_id, *stored_ids(x.body, x.path)}
            self._memory.keep(x.tenant, ids, redaction.pseudonyms.originals)
        if not redaction.counts:
            return
        for (kind, action), number in redaction.counts.items():
            self._count(kind, action, number)
        x.notes["redactions"] = " ".join(
            f"{kind}:{action}={number}" for (kind, action), number in redaction.counts.items()
        )


def _is_forgotten(x: Exchange) -> bool:
    return x.body is not None and x.body.get("store") is False


def header_of(redaction: Redaction) -> bytes:
    """Counts by kind, as ``email=2, phone=1``."""
    counts: dict[str, int] = {}
    for (kind, _), number in redaction.counts.items():
        counts[kind] = counts.get(kind, 0) + number
    shown = ", ".join(f"{kind}={number}" for kind, number in counts.items())
    return shown.encode("ascii", "replace").translate(None, b"\r\n\0")


async def recognise(redaction: Redaction, recogniser: Recogniser, raw: bytes) -> None:
    """Ask a service about every text of a body before it is redacted."""
    texts: dict[str, None] = {}

    def note(text: str) -> str:
        if any(c.isalpha() for c in text):
            texts[text] = None
        return text

    rewrite_texts(note, raw)
    try:
        answers = await recogniser.find(list(texts)) if texts else []
    except DetectorUnavailable:
        if redaction.rules.is_closed:
            raise
        return
    for text, spans in zip(texts, answers, strict=False):
        redaction.recognise(text, spans)


class _Whole(StreamHalf):
    """An answer in one piece."""

    __slots__ = ("_json_content", "_redaction", "_x")

    def __init__(self, x: Exchange, redaction: Redaction, *, json_content: bool) -> None:
        self._x = x
        self._redaction = redaction
        self._json_content = json_content

    def feed(self, frame: Frame, send: Send) -> None:
        """Rewrite its strings, or all of it where it is plain text."""
        redaction, raw = self._redaction, frame.raw
        if _MARK not in raw and redaction.is_clean_answer(raw):
            if redaction.pseudonyms.originals and (
                b'"response"' in raw or b'"conversation"' in raw
            ):
                # It may be gone on with all the same, and a later answer say a pseudonym.
                with suppress(orjson.JSONDecodeError):
                    self._note(orjson.loads(raw))
            send(frame)
            return
        try:
            self._note(orjson.loads(raw))
        except orjson.JSONDecodeError:
            text = raw.decode("utf-8", "replace")
            said = redaction.answer_text(text, is_json=False)
            made = None if said == text else said.encode()
        else:
            made = rewrite(raw, self._leaf, self._key)
            if made is not None and b'"logprobs"' in made:
                made = without_logprobs(made)
        headers = [h for h in self._x.answer_headers if h[0] != HEADER]
        if redaction.counts:
            headers.append((HEADER, header_of(redaction)))
        self._x.answer_headers = headers
        send(frame if made is None else Frame(made, made))

    def _note(self, body: Any) -> None:
        if isinstance(body, dict) and body.get("object") in ("response", "conversation"):
            self._redaction.response_id = str(body.get("id", ""))

    def _leaf(self, path: Path, text: str) -> str | None:
        if is_structural(path, text):
            return None
        is_json = is_name(path) or (self._json_content and path[-1] in ("content", "text"))
        return self._redaction.answer_text(text, is_json=is_json)

    def _key(self, path: Path, key: str) -> str:
        return self._redaction.answer_text(key, is_json=False)


class _Stream(StreamHalf):
    """An answer in events."""

    __slots__ = ("_frames", "_redaction", "_rewriter")

    def __init__(self, redaction: Redaction, *, json_content: bool) -> None:
        def open_channel(is_json: bool) -> Channel:  # noqa: FBT001 - a callback's one argument
            return Channel(redaction, is_json=is_json)

        def whole(text: str, is_json: bool) -> str:  # noqa: FBT001
            return redaction.answer_text(text, is_json=is_json)

        self._redaction = redaction
        self._frames: list[Frame] = []
        self._rewriter = Rewriter(open_channel, whole, mark=_MARK, json_content=json_content)

    def feed(self, frame: Frame, send: Send) -> None:
        """Gather: what came in one read is looked at together."""
        self._frames.append(frame)

    def feed_all(self, frames: list[Frame], send: Send) -> None:
        """The same of many."""
        self._frames += frames

    def pause(self, send: Send) -> None:
        """Send what may go on of the events at hand."""
        frames, self._frames = self._frames, []
        try:
            self._rewriter.feed(frames, send)
        except ContentFiltered as exc:
            exc.sequence = self._rewriter.next_number
            raise
        self._redaction.response_id = self._rewriter.response_id

    def flush(self, send: Send) -> None:
        """The stream ended without saying so."""
        self.pause(send)
        self._rewriter.flush(send)
