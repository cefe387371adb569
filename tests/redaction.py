"""Rulesets, exchanges and streams for the tests of redaction."""

import orjson

from proxy.core.frame import Frame
from proxy.redact.exchange import Channel, Redaction
from proxy.redact.pseudonyms import TenantKey
from proxy.redact.ruleset import ALL, Own, Ruleset, source_of
from proxy.wire.deltas import Rewriter
from proxy.wire.sse import Framer

KINDS = tuple(sorted({d.kind for d in ALL}))
KEY = TenantKey(b"k" * 32, "acme")


def ruleset(detect=KINDS, *, own=(), answers=None, **more):
    sources = [Own(**rule).source() for rule in own]
    return Ruleset(
        name="strict",
        source=source_of(detect, sources),
        answers=source_of(answers) if answers is not None else None,
        **more,
    )


STRICT = ruleset()
SCANNING = ruleset(answers=KINDS)
RESTORING = ruleset(("email", "person"), own=({"name": "marked", "pattern": r"<<(?s:.*?)>>"},))


def redaction(rules=STRICT, key=KEY):
    return Redaction(rules, key)


def rewriter(one, *, json_content=False):
    return Rewriter(
        lambda is_json: Channel(one, is_json=is_json),
        lambda text, is_json: one.answer_text(text, is_json=is_json),
        mark=b"PII_",
        json_content=json_content,
    )


def streamed(one, events, *, json_content=False):
    """What a client gets of ``events`` (bytes of a stream, or a list of them)."""
    made = rewriter(one, json_content=json_content)
    framer = Framer()
    out = []
    for data in events:
        made.feed(framer.feed(data), out.append)
    made.flush(out.append)
    return b"".join(frame.raw for frame in out)


def payloads(data):
    frames = Framer().feed(data)
    return [orjson.loads(f.data) for f in frames if f.data and f.data != b"[DONE]"]


def typed(kind, number, **more):
    return Frame.of(
        orjson.dumps({"type": kind, "sequence_number": number, **more}), kind.encode()
    ).raw
