"""Single events: found by their template, numbered anew, or made up."""

import base64

import orjson
import pytest

from proxy.core.errors import UpstreamProtocol
from proxy.core.frame import Frame
from proxy.wire.form import rewrite_form
from proxy.wire.leaves import rewrite
from proxy.wire.structural import is_structural, split_data_url
from proxy.wire.synthetic import without_logprobs
from proxy.wire.template import Template
from tests.redaction import KINDS, payloads, redaction, ruleset, streamed, typed
from tests.scripted import DONE, chunk


def one():
    made = redaction(ruleset(("email",), answers=KINDS))
    return made, made.request_text("jane@example.com")


@pytest.mark.parametrize(
    ("first", "like", "literal"),
    [
        (b'data: {"a":"x","n":1}\n\n', b'data: {"a":"y\\"z","n":1}\n\n', b'y\\"z'),
        (b'data: {"a":"x","n":1}\n\n', b'data: {"a":"y","n":2}\n\n', None),
        (b'data: {"a":"x","n":1}\n\n', b'data: {"a":"y","b":"z","n":1}\n\n', None),
        (b'data: {"a": "x"}\r\n\r\n', b'data: {"a": ""}\r\n\r\n', b""),
        (b'{"sequence_number":7,"a":"x"}', b'{"sequence_number":12,"a":"y"}', b"y"),
        (b'{"sequence_number":7,"a":"x"}', b'{"sequence_number":"1","a":"y"}', None),
        (b'{"a":"x","obfuscation":"q1"}', b'{"a":"yy","obfuscation":""}', b"yy"),
        (b'{"a":"x","obfuscation":"q1"}', b'{"a":"yy","obfuscation":"a","b":1}', None),
    ],
)  # fmt: skip
def test_a_template_knows_its_like_and_nothing_else(first, like, literal):
    seen = Template.of(first, "a", None).match(Frame(like, b""))

    assert (seen and like[seen[1] : seen[2]]) == literal


def test_a_string_that_stands_twice_or_before_a_number_makes_no_template():
    assert Template.of(b'{"a":"x","b":{"a":"y"}}', "a", None) is None
    assert Template.of(b'{"a":"x","sequence_number":1}', "a", None) is None


def test_a_key_inside_a_text_is_no_key():
    raw = chunk({"content": 'say "content":"no" and on. '})

    assert streamed(one()[0], [raw, raw, DONE]) == raw + raw + DONE


def test_reasoning_refusals_and_completions_are_runs_of_their_own():
    made, name = one()
    events = []
    for half in (name[:8], name[8:]):
        for field in ("reasoning_content", "reasoning", "refusal", "something_new"):
            events.append(chunk({field: half}))
        events.append(b"data: " + orjson.dumps({"choices": [{"index": 1, "text": half}]}) + b"\n\n")
    texts = {}
    for event in payloads(streamed(made, [*events, DONE])):
        choice = event["choices"][0]
        for field, text in (
            {"text": choice["text"]} if "text" in choice else choice["delta"]
        ).items():
            texts[field] = texts.get(field, "") + text

    assert texts == dict.fromkeys(
        ("reasoning_content", "reasoning", "refusal", "something_new", "text"), "jane@example.com"
    )


def test_held_text_is_sent_before_the_finish_in_a_chunk_like_the_others():
    made, name = one()
    events = [
        chunk({"tool_calls": [{"index": 2, "function": {"arguments": f'"{name[:9]}'}}]}),
        chunk({}, "tool_calls"),
        DONE,
    ]

    first, extra, finish = payloads(streamed(made, events))

    assert first["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"] == '"'
    assert extra["choices"][0]["delta"] == {
        "tool_calls": [{"index": 2, "function": {"arguments": name[:9]}}]
    }
    assert {k: extra[k] for k in ("id", "object", "created", "model")} == {
        k: first[k] for k in ("id", "object", "created", "model")
    }
    assert finish["choices"][0]["finish_reason"] == "tool_calls"


def test_a_finish_that_carries_text_ends_its_run_in_place():
    made, name = one()

    (event,) = payloads(streamed(made, [chunk({"content": name[:9]}, "stop")]))

    assert event["choices"][0]["delta"]["content"] == name[:9]


def test_arguments_in_a_responses_stream_are_escaped_and_their_full_text_too():
    made = redaction(ruleset((), own=({"name": "q", "pattern": "<.*>"},)))
    name = made.request_text('<"a">')
    place = {"item_id": "fc_1", "output_index": 0}
    events = [
        typed("response.function_call_arguments.delta", 0, **place, delta='{"v":"' + name[:5]),
        typed("response.function_call_arguments.delta", 1, **place, delta=name[5:] + '"}'),
        typed("response.function_call_arguments.done", 2, **place, arguments=f'{{"v":"{name}"}}'),
        typed(
            "response.output_item.done", 3, output_index=0, item={"arguments": f'{{"v":"{name}"}}'}
        ),
    ]

    a, b, done, item = payloads(streamed(made, events))

    for text in (a["delta"] + b["delta"], done["arguments"], item["item"]["arguments"]):
        assert orjson.loads(text) == {"v": '<"a">'}


def test_a_block_of_messages_is_a_run():
    made, name = one()
    block = {"type": "content_block_delta", "index": 0}
    events = [
        Frame.of(orjson.dumps({**block, "delta": {"type": "text_delta", "text": t}})).raw
        for t in (name[:9], name[9:] + " P")
    ]
    events.append(Frame.of(b'{"type":"content_block_stop","index":0}').raw)

    made_events = payloads(streamed(made, events))

    assert "".join(e["delta"]["text"] for e in made_events if "delta" in e) == "jane@example.com P"
    assert made_events[-1]["type"] == "content_block_stop"


def test_an_event_nested_beyond_reason_is_the_upstreams_fault():
    deep = b"data: " + b'{"a":' * 300 + b'"x"' + b"}" * 300 + b"\n\n"

    with pytest.raises(UpstreamProtocol):
        streamed(one()[0], [deep])


def test_comments_and_broken_events_pass():
    made, _ = one()
    events = [b": ping\n\n", b"data: {broken\n\n", b"data: [1]\n\n", DONE]

    assert streamed(made, events) == b"".join(events)


def test_an_event_of_several_lines_is_put_on_one():
    made, name = one()
    raw = b'data: {"choices":[{"index":0,\ndata: "delta":{"content":"%s"}}]}\n\n' % name.encode()

    assert b"jane@example.com" in streamed(made, [raw, DONE])


@pytest.mark.parametrize(
    ("given", "left"),
    [
        (b'{"logprobs":{"content":[{"token":"]}"}]},"a":1}', b'{"logprobs":null,"a":1}'),
        (b'{"logprobs":[{"logprobs":[]}],"b":[]}', b'{"logprobs":[],"b":[]}'),
        (b'{"logprobs":null}', b'{"logprobs":null}'),
    ],
)
def test_probabilities_are_taken_out_whole(given, left):
    assert without_logprobs(given) == left


def test_both_values_of_a_key_given_twice_are_seen():
    assert rewrite(b'{"a":"x","a":"y"}', lambda _, t: t.upper()) == b'{"a":"X","a":"Y"}'


@pytest.mark.parametrize(
    ("path", "text", "is_word"),
    [
        (["messages", 0, "role"], "user", True),
        (["messages", 0, "role"], "jane@example.com", False),
        (["id"], "chatcmpl-AbC123", True),
        (["id"], "4111111111111111", False),
        (["metadata", "type"], "secret", False),
        (["model"], "gpt-4.1", True),
        (["tools", 0, "model"], "x", False),
        (["content", 0, "input_audio", "data"], "QUJD", True),
        (["file", "file_data"], base64.b64encode(bytes(range(256)) * 3).decode(), True),
        (["file", "file_data"], base64.b64encode(b"jane@example.com " * 60).decode(), False),
        (["data", 0, "embedding"], "AAAA", True),
    ],
)
def test_a_word_of_the_protocol_is_one_by_its_name_and_its_look(path, text, is_word):
    assert is_structural(path, text) is is_word


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("data:text/plain;base64,aGk=", ("data:text/plain;base64,", "hi")),
        ("data:;base64,aGk=", ("data:;base64,", "hi")),
        ("data:application/json;charset=utf-8;base64,e30=", ("data:application/json;charset=utf-8;base64,", "{}")),
        ("data:image/png;base64,iVBORw0KGgo=", ("data:image/png;base64,", None)),
        ("data:text/plain;base64,%%%", None),
        ("data:text/plain,jane%40example.com", None),
        ("data: none", None),
    ],
)  # fmt: skip
def test_a_data_url_is_opened_if_it_holds_text(url, parts):
    assert split_data_url(url) == parts


def test_lines_of_json_and_of_text_are_changed_each_in_its_way():
    value = b'{"a":"x"}\n[1]\nplain'
    body = b'--X\r\nContent-Disposition: form-data; name="a"\r\n\r\n%s\r\n--X--\r\n' % value

    made = rewrite_form(body, b"X", str.upper, lambda raw: raw.replace(b"x", b"y"))

    assert b'{"a":"y"}\n[1]\nPLAIN' in made


def test_a_form_without_anything_to_change_is_left_as_it_is():
    body = b'--X\r\nContent-Disposition: form-data; name="a"\r\n\r\nhello\r\n--X--\r\n'

    assert rewrite_form(body, b"X", lambda t: t, lambda _: None) is None
    assert rewrite_form(body, b"X", str.upper, lambda _: None) == body.replace(b"hello", b"HELLO")
