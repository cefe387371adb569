"""An exchange's answer as it is stored, and a stored one as an exchange's answer."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import orjson

from proxy.core.cache import Terms
from proxy.core.errors import ProxyError
from proxy.core.exchange import End, Exchange, Head
from proxy.core.flight import Flight
from proxy.core.policy import Reply
from proxy.core.ready import Ready
from proxy.wire.replay import Entry, parts_of, replay

JSON: Final = b"application/json"
EVENTS: Final = b"text/event-stream"
_HIT: Final = b'sidestream; hit; ttl=%d; key="%s"'
_STALE: Final = (b"warning", b'110 sidestream "Response is Stale"')
ABOUT_THE_REQUEST: Final = ("invalid_request_error", "BadRequestError")
ABOUT_ITS_TEXT: Final = ("content_filter", "content_policy_violation")


def unfit(flight: Flight, end: End) -> str:
    """In a word, why the answer of a flight is not kept, whatever it says; empty if it may be."""
    x = flight.x
    assert x.plan is not None
    if flight.is_purged:
        return "purged"
    if end.kind != "complete" or flight.head is None:
        return "end"
    if not flight.is_kept:
        return "size"
    if x.is_altered:
        return "budget"
    return "" if x.target == x.plan.targets[0] else "fallback"


def entry_of(flight: Flight, end: End, at: float, terms: Terms) -> Entry | str:
    """The answer that came, or in a word why it is not to be given twice."""
    if why := unfit(flight, end):
        return why
    x, head, body = flight.x, flight.head, flight.body
    assert head is not None
    assert x.target is not None
    if head.status == 400 and terms.negative and _is_deterministic(body):
        return Entry(
            at=at, ttl=terms.negative, stale=0.0, status=400, kind=x.endpoint.name,
            target=x.target.name, whole=body,
        )  # fmt: skip
    entry, flaw = made_of(x, head, body, at, terms)
    return entry if entry is not None and not flaw else flaw


def made_of(
    x: Exchange, head: Head, body: bytes, at: float, terms: Terms
) -> tuple[Entry | None, str]:
    """The answer in the form that serves both, and in a word what is wrong with it."""
    if head.status != 200 or head.content_type not in (JSON, EVENTS):
        return None, "status"
    parts = parts_of(x.endpoint, body, is_stream=head.is_stream)
    if isinstance(parts, str):
        return None, parts
    flaw: str = parts.pop("flaw")
    usage = (x.usage.prompt, x.usage.completion) if x.usage is not None else (0, 0)
    target = x.target.name if x.target is not None else ""
    entry = Entry(
        at=at, ttl=terms.ttl, stale=terms.stale, target=target, usage=usage,
        cost=x.cost_nanos or 0, finish=x.finish, flags=x.flags, asker=x.id, **parts,
    )  # fmt: skip
    return entry, flaw


def _is_deterministic(body: bytes) -> bool:
    """Whether an upstream's 400 is about the request's form."""
    try:
        error = orjson.loads(body).get("error")
    except (orjson.JSONDecodeError, AttributeError):
        return False
    return (
        isinstance(error, dict)
        and error.get("type") in ABOUT_THE_REQUEST
        and error.get("code") not in ABOUT_ITS_TEXT
    )


def hides_usage(x: Exchange) -> bool:
    """Whether the client gets no usage event, as it did not ask for one."""
    if not x.stream or x.endpoint.dialect != "chat" or x.body is None:
        return False
    options = x.body.get("stream_options")
    return not (isinstance(options, dict) and options.get("include_usage"))


def replayed(x: Exchange, entry: Entry) -> Ready:
    """The answer to ``x`` out of ``entry``."""
    if entry.status != 200:
        return whole_answer(entry.whole, entry.status)
    body = replay(
        x.endpoint, entry, stream=x.stream, tells_usage=not hides_usage(x),
        new_id=x.id.removeprefix("req_"),
    )  # fmt: skip
    if not x.stream:
        return whole_answer(body)
    return Ready(Head(200, [(b"content-type", EVENTS)], EVENTS, None, is_stream=True), body)


def whole_answer(body: bytes, status: int = 200) -> Ready:
    """A JSON answer."""
    return Ready(Head(status, [(b"content-type", JSON)], JSON, len(body)), body)


def held(x: Exchange, reply: Reply | None) -> Reply | None:
    """Let ``x`` go on through the stages that charge for it, with its answer.

    An answer that is still coming in has been charged for by who asked.
    """
    if not isinstance(reply, Ready) or x.usage is None:
        return reply
    x.held = reply
    return None


def say(x: Exchange, word: str, status: str) -> None:
    """Tell the client what the cache did: a word, and RFC 9211's form of it."""
    x.answer_headers += (
        (b"x-sidestream-cache", word.encode()),
        (b"cache-status", b"sidestream; " + status.encode()),
    )


def left_alone(x: Exchange, why: str, *, only_cached: bool) -> None:
    """Tell the client, in a word, why the cache does nothing.  Raises ``NotCached``
    if it wants an answer from there or none.
    """
    if only_cached:
        raise not_cached(x, "bypass", f"detail={why}")
    say(x, "bypass", f"fwd={'request' if why == 'no_store' else 'bypass'}; detail={why}")


@lru_cache(1024)
def _usd(nanos: int) -> str:
    return f"{nanos / 1e9:.9f}"


def say_hit(x: Exchange, word: str, entry: Entry, age: float, key: bytes, *, is_late: bool) -> None:
    """Tell client and log what ``entry``, of that age in seconds, avoided."""
    x.notes["tokens_avoided"] = str(sum(entry.usage))
    x.notes["usd_avoided"] = _usd(entry.cost)
    # As ``say``, in one step: every hit comes by.
    x.answer_headers += (
        (b"x-sidestream-cache", word.encode()),
        (b"cache-status", _HIT % (entry.ttl - age, key.hex().encode())),
        (b"age", b"%d" % age),
    )
    if is_late:
        x.answer_headers.append(_STALE)


def say_like(x: Exchange, cosine: float, key: bytes, asker: str) -> None:
    """Tell client and log how near the question was that was answered, and the log
    the key of its answer and the request that had asked it.
    """
    shown = f"{cosine:.3f}"
    x.notes |= {"cosine": shown, "cache_key": key.hex(), "asker": asker}
    x.answer_headers.append((b"x-sidestream-similarity", shown.encode()))


class NotCached(ProxyError):
    """The client wants an answer from the cache or none."""

    status = 504
    code = "not_cached"
    fault = "client"


def not_cached(x: Exchange, word: str, status: str) -> NotCached:
    """What is told who asked for ``only-if-cached`` in vain: no hit, and nobody else was asked."""
    say(x, word, status)
    # RFC 9111 wants a 504, which SDKs would ask for again.
    x.answer_headers.append((b"x-should-retry", b"false"))
    return NotCached("only-if-cached was asked for, and the cache has no answer to this")
