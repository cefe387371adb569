"""Tools of a tenant: what is offered, what is called, and whom it does not concern."""

import orjson
import pytest

from proxy.core.errors import ToolNotAllowed
from proxy.core.exchange import Head
from proxy.core.frame import Frame
from proxy.policies.tools import ToolsPolicy
from proxy.rules.globs import GlobSet
from proxy.rules.toolbox import Toolbox
from proxy.wire.endpoints import EXACT
from tests.kit import exchange

JSON = b"application/json"
POLICY = ToolsPolicy({"acme": Toolbox(GlobSet(["get_*"]), 2)})
OFFER = {"tools": [{"type": "function", "function": {"name": "rm"}}]}


def asked(tenant="acme", **fields):
    x = exchange(tenant=tenant, **fields)
    x.raw, x.body = orjson.dumps(OFFER), OFFER
    return x


def half(head, tenant="acme", **fields):
    return POLICY.on_response(exchange(tenant=tenant, **fields), head)


def whole(name, **call):
    made = {"tool_calls": [{"id": "c", "function": {"name": name, "arguments": "{}"}, **call}]}
    return orjson.dumps({"choices": [{"index": 0, "message": made}]})


def piece(name, index=0, **more):
    delta = {"tool_calls": [{"index": index, "function": {"name": name}}]}
    return Frame.of(orjson.dumps({"choices": [{"index": 0, "delta": delta, **more}]}))


class Given(list):
    """What went on."""

    def __call__(self, frame):
        self.append(frame)


async def test_only_tenants_with_a_list_are_held_to_it():
    assert await POLICY.on_request(asked("other")) is None
    with pytest.raises(ToolNotAllowed) as raised:
        await POLICY.on_request(asked())

    assert raised.value.param == "tools[0]"
    assert half(Head(200, [], JSON), "other") is None


async def test_a_request_without_a_body_offers_nothing_and_its_answer_is_checked():
    x = exchange(tenant="acme", body=b"")
    x.body = x.raw = None

    assert await POLICY.on_request(x) is None
    assert half(Head(200, [], JSON)) is not None


@pytest.mark.parametrize(
    ("head", "path"),
    [
        (Head(500, [], JSON), "/v1/chat/completions"),
        (Head(200, [], b"audio/mpeg"), "/v1/chat/completions"),
        (Head(200, [], JSON), "/v1/embeddings"),
    ],
)
def test_answers_that_hold_no_calls_are_not_read(head, path):
    assert half(head, endpoint=EXACT[path]) is None


@pytest.mark.parametrize(
    "body",
    [
        whole("rm"),
        whole(""),
        whole("x" * 99),
        whole("rm").replace(b"tool_calls", rb"tool\u005fcalls"),
    ],
)
def test_a_whole_answer_that_calls_another_tool_is_stopped(body):
    out, calls = Given(), half(Head(200, [], JSON))
    with pytest.raises(ToolNotAllowed):
        calls.feed(Frame(body, body), out)

    assert out == []


def test_a_whole_answer_that_calls_what_it_may_goes_on_as_it_came():
    out, calls = Given(), half(Head(200, [], JSON))
    frame = Frame(whole("get_time"), whole("get_time"))
    calls.feed(frame, out)

    assert out == [frame]


def test_a_name_that_comes_in_pieces_is_held_until_it_is_whole():
    out, calls = Given(), half(Head(200, [], is_stream=True))
    ping = Frame(b": ping\n\n", b"")
    frames = [piece("get_"), ping, piece("time"), Frame.of(b'{"choices":[{"index":0,"delta":{}}]}')]
    for frame in frames[:3]:
        calls.feed(frame, out)
        assert out == []
    calls.feed(frames[3], out)

    # A comment keeps its place among them.
    assert out == frames


def test_a_stream_that_ends_in_a_name_is_checked_before_its_end_is_sent():
    for name, is_fine in (("get_time", True), ("rm", False)):
        out, calls = Given(), half(Head(200, [], is_stream=True))
        calls.feed(piece(name), out)
        if is_fine:
            calls.flush(out)
            assert len(out) == 1
        else:
            with pytest.raises(ToolNotAllowed):
                calls.flush(out)
            assert out == []


def test_one_call_too_many_is_stopped():
    out, calls = Given(), half(Head(200, [], is_stream=True))
    calls.feed(piece("get_a", 0), out)
    calls.feed(piece("get_b", 1), out)
    with pytest.raises(ToolNotAllowed, match="2 tool calls"):
        calls.feed(piece("get_c", 2), out)


def test_an_event_that_cannot_be_read_ends_no_name_it_does_not_speak_of():
    out, calls = Given(), half(Head(200, [], is_stream=True))
    calls.feed(Frame.of(b'{"tool_call'), out)
    assert len(out) == 1
    calls.feed(piece("r"), out)
    with pytest.raises(ToolNotAllowed):
        calls.feed(Frame.of(b"{"), out)
