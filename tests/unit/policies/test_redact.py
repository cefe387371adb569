"""Redaction at its edges: odd bodies, services that are away, more than can be looked at."""

import orjson
import pytest

from proxy.core.errors import (
    ContentFiltered,
    DetectorUnavailable,
    InvalidBody,
    PathNotAllowed,
    RedactionFailed,
    UnsupportedEncoding,
)
from proxy.core.exchange import Head
from proxy.core.frame import Frame
from proxy.policies.redact import RedactPolicy
from proxy.redact import engine, pseudonyms
from proxy.redact.memory import Conversations
from tests.kit import FakeIntake, exchange
from tests.redaction import KEY, ruleset

JSON = b"application/json"
MAIL = "Write to jane@example.com"
CARD = "4111 1111 1111 1111"


class Service:
    """Finds every "Jane"; away, it finds nothing."""

    def __init__(self, *, is_away=False):
        self.is_away = is_away
        self.asked = []

    async def find(self, texts):
        if self.is_away:
            raise DetectorUnavailable("away")
        self.asked.append(texts)
        return [
            [(t.index("Jane"), t.index("Jane") + 4, "person")] if "Jane" in t else [] for t in texts
        ]


class Encoded(FakeIntake):
    is_encoded = True


def policy(detect=("email",), **more):
    rules = ruleset(detect, **more)
    memory = Conversations()
    return RedactPolicy({"acme": rules}, {}, lambda *_: KEY, memory, lambda *_: None, 10**6)


async def redacted(made, content, **fields):
    """The exchange after its request has been redacted."""
    x = exchange(tenant="acme", **fields)
    x.body = {"messages": [{"role": "user", "content": content}]}
    x.raw = orjson.dumps(x.body)
    await made.on_request(x)
    return x


async def streamed(made, body, kind="application/json", intake=FakeIntake):
    """The same of a body that nobody has read."""
    x = exchange(tenant="acme", headers={"content-type": kind})
    x.intake = intake(body)
    x.body = x.raw = None
    await made.on_request(x)
    return x


def whole(made, x, body, kind=JSON):
    """An answer in one piece, as the client gets it."""
    half = made.on_response(x, Head(200, [], kind))
    out = []
    half.feed(Frame(body, body), out.append)
    return b"".join(frame.raw for frame in out)


async def test_nobody_without_rules_is_redacted():
    x = await redacted(policy(), MAIL)
    assert b"jane@" not in x.raw

    other = exchange(tenant="other", raw=orjson.dumps(MAIL))
    made = policy()
    await made.on_request(other)
    assert (other.redaction, other.raw) == (None, orjson.dumps(MAIL))
    assert made.on_response(other, Head(200, [], JSON)) is None


async def test_a_body_that_would_stream_through_is_read_and_redacted():
    x = await streamed(policy(), orjson.dumps({"note": MAIL}))
    assert b"jane@" not in x.raw
    assert b"PII_EMAIL_" in x.raw

    same = await streamed(policy(), b'{"note": "nothing"}')
    assert same.raw == b'{"note": "nothing"}'


@pytest.mark.parametrize("body", [b"{", b"\xff", b'{"a":"\xff"}', b"[" * 2000, b""])
async def test_a_body_that_says_it_is_json_and_is_not_is_refused(body):
    intake = FakeIntake(body)
    intake.has_body = True
    with pytest.raises(InvalidBody):
        await streamed(policy(), body, intake=lambda _: intake)


async def test_a_body_nested_as_deeply_as_json_may_be_is_redacted_all_the_same():
    body = b"[" * 900 + orjson.dumps(MAIL) + b"]" * 900
    x = await streamed(policy(), body)

    assert b"jane@" not in x.raw


async def test_a_form_in_another_encoding_is_refused_and_not_passed_by():
    kind = "multipart/form-data; boundary=XX"
    with pytest.raises(UnsupportedEncoding):
        await streamed(policy(), b"--XX--", kind, intake=Encoded)


async def test_other_types_pass_only_where_that_is_allowed():
    with pytest.raises(UnsupportedEncoding):
        await streamed(policy(), b"abc", "application/octet-stream")
    x = await streamed(policy(is_closed=False), b"abc", "application/octet-stream")

    assert x.raw == b"abc"


async def test_what_a_service_finds_is_redacted_in_every_kind_of_body():
    service = Service()
    made = policy(recogniser=service)
    read = await redacted(made, f"I am Jane. {MAIL}")
    unread = await streamed(made, orjson.dumps({"note": "I am Jane.", "n": 1, "s": "12"}))

    for x in (read, unread):
        assert b"Jane" not in x.raw
        assert b"PII_PERSON_" in x.raw
    # What has no letter names nobody.
    assert not any("12" in texts for texts in service.asked)


async def test_without_its_service_a_closed_ruleset_refuses_and_an_open_one_does_what_it_can():
    away = Service(is_away=True)
    with pytest.raises(DetectorUnavailable):
        await redacted(policy(recogniser=away), MAIL)
    x = await redacted(policy(recogniser=away, is_closed=False), MAIL)

    assert b"jane@" not in x.raw


async def test_a_pseudonym_is_restored_where_the_answer_made_it_a_key():
    made = policy()
    x = await redacted(made, MAIL)
    name = next(iter(x.redaction.pseudonyms.originals))
    answer = orjson.dumps({"found": {name: 1, "text": f"to {name}"}})

    # Without a digit it looks like a name of the protocol's.
    assert name.removeprefix("PII_EMAIL_").isalpha()
    assert orjson.loads(whole(made, x, answer)) == {
        "found": {"jane@example.com": 1, "text": "to jane@example.com"}
    }


async def test_an_answer_that_is_no_text_goes_on_unread():
    made = policy()
    x = await redacted(made, MAIL)

    assert made.on_response(x, Head(200, [], b"audio/mpeg")) is None


async def test_an_answer_in_one_piece_that_is_blocked_does_not_go_on():
    made = policy(answers=("credit_card",), answer_action="block")
    x = await redacted(made, "hi")
    with pytest.raises(ContentFiltered):
        whole(made, x, orjson.dumps({"choices": [{"message": {"content": f"It is {CARD}"}}]}))


@pytest.mark.parametrize("kind", [JSON, b"text/plain"])
async def test_an_answer_that_holds_too_much_to_look_at_is_stopped_if_closed(monkeypatch, kind):
    monkeypatch.setattr(engine, "MAX_TRIED", 3)
    near = "4111 1111 1111 1112, " * 9
    body = orjson.dumps({"text": near}) if kind == JSON else near.encode()
    closed = policy(answers=("credit_card",))
    x = await redacted(closed, "hi")
    with pytest.raises(RedactionFailed):
        whole(closed, x, body, kind)

    opened = policy(answers=("credit_card",), is_closed=False)
    x = await redacted(opened, "hi")
    assert whole(opened, x, body, kind) == body


async def test_a_request_with_more_than_can_be_replaced_is_refused_if_closed(monkeypatch):
    monkeypatch.setattr(pseudonyms, "MAX_ORIGINALS", 1)
    both = "jane@example.com and john@example.com"
    with pytest.raises(RedactionFailed):
        await redacted(policy(), both)

    x = await redacted(policy(is_closed=False), both)
    assert orjson.loads(x.raw)["messages"][0]["content"] == both


async def test_a_socket_cannot_be_redacted_and_is_refused():
    x = exchange(tenant="acme")
    x.endpoint = x.endpoint.__class__(name="realtime", methods=frozenset({"GET"}), is_socket=True)
    with pytest.raises(PathNotAllowed):
        await policy().on_request(x)
