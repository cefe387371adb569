"""Redaction means the same however a text was torn on its way."""

from itertools import pairwise

import orjson
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.frame import Frame
from proxy.redact.exchange import Channel
from proxy.redact.patterns import Program, closure
from proxy.redact.ruleset import ALL
from proxy.redact.scan import scan
from proxy.wire.leaves import rewrite
from proxy.wire.texts import rewrite_texts
from tests.redaction import (
    KINDS,
    RESTORING,
    SCANNING,
    payloads,
    redaction,
    ruleset,
    streamed,
    typed,
)
from tests.scripted import DONE, chunk

VALUES = (
    "jane.doe@example.com", "4111 1111 1111 1111", "378282246310005", "DE89 3704 0044 0532 0130 00",
    "536-90-4399", "+49 30 901820", "(212) 555-0187", "phone 0123 456 789", "192.168.10.4",
    "2001:db8::8a2e:370:7334", "00:1A:2B:3C:4D:5E", "https://u:pw@host/x", "Mr. John O'Neil-Smith",
    "born on 12 March 1985", "passport no. C01X00T47", "sk-proj-abcdefghijklmnopqrstuvwx12345",
    "password = Tr0ub4dor&3x", "AKIAIOSFODNN7EXAMPLE", "52.5200, 13.4050", "postgres://u:p@h/db",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcDEF123_-x", "0x52908400098527886E0F7030069857D2E4169EE7",
    "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0\n-----END PRIVATE KEY-----",
    "amFuZS5kb2VAZXhhbXBsZS5jb20=", "jane%40example.com", "\\u006aane@example.com", "ｊane＠example.com",
    "4\u200b111\u200b1111\u200b11111111\u200b", "\U000e0034\U000e0031", "Аnna.mаil@exаmple.com", "CPF 111.444.777-35",
)  # fmt: skip
words = st.sampled_from(
    ("the", "call", "phone:", "born", "a@b", "sk-", "4111", "+49", "x", "PII_EMAIL_", "::", "🙂", "für",
     "Мир", "\u200b", "日本語", "\n", " ", ", ", "-", "https://", "-----BEGIN ", "eyJ", "%4", "\\u00", "1.2.3")
)  # fmt: skip
texts = st.lists(
    st.one_of(st.sampled_from(VALUES), words, st.text(max_size=6)), max_size=10
).flatmap(lambda parts: st.sampled_from(("", " ")).map(lambda gap: gap.join(parts)))
cuts = st.lists(st.integers(0, 300), max_size=40)


def torn(data, where):
    edges = sorted({0, len(data), *(c for c in where if c < len(data))})
    return [data[a:b] for a, b in pairwise(edges)]


def fed(channel, pieces):
    return "".join(channel.feed(piece) for piece in pieces) + channel.flush()


@given(texts, cuts)
def test_an_answer_is_scanned_the_same_however_it_is_torn(text, where):
    whole = redaction(SCANNING).answer_text(text, is_json=False)

    assert fed(Channel(redaction(SCANNING), is_json=False), torn(text, where)) == whole
    assert fed(Channel(redaction(SCANNING), is_json=False), text) == whole


@given(texts, st.text(max_size=12), cuts)
def test_originals_come_back_however_the_answer_is_torn(text, more, where):
    one = redaction(RESTORING)
    sent = one.request_text(f"{text} <<{more}>> jane@example.com {text}")
    answer = f"{sent}{more}PII_EMAIL_ PII_MARKED_{sent[:40]}"

    whole = one.answer_text(answer, is_json=False)

    assert whole.startswith(f"{text} <<{more}>> jane@example.com {text}")
    assert fed(Channel(one, is_json=False), torn(answer, where)) == whole
    assert fed(Channel(one, is_json=False), answer) == whole


nasty = st.text(
    st.sampled_from("\"\\\n\r\t{}[]<>&'/ \u2028🙂é日\x00\x7faZ0"), min_size=1, max_size=12
).filter(lambda t: ">>" not in t)


@given(st.lists(nasty, min_size=1, max_size=4, unique=True), st.data())
def test_a_json_body_comes_back_as_it_was(values, data):
    one = redaction(RESTORING)
    arguments = orjson.dumps({"to": f"<<{values[0]}>>", "also": [f"a <<{values[-1]}>>"]}).decode()
    body = orjson.dumps({"x": 1.50, "m": [f"<<{v}>> {v}" for v in values], "arguments": arguments})

    sent = rewrite_texts(one.request_text, body)

    assert sent is not None
    assert not any(f"<<{v}>>" in t for v in values for t in strings(orjson.loads(sent)))
    back = rewrite(sent, lambda p, t: one.answer_text(t, is_json=p[-1] == "arguments"))
    assert orjson.loads(back) == orjson.loads(body)
    assert orjson.loads(orjson.loads(back)["arguments"]) == orjson.loads(arguments)


def strings(value):
    if isinstance(value, str):
        yield value
    for inner in (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    ):
        yield from strings(inner)


def interleaved(data, runs):
    """Chunks of several runs in any order, one or two runs in a chunk."""
    left = {key: torn(text, data.draw(cuts)) for key, text in runs.items()}
    events = []
    while any(left.values()):
        key = data.draw(st.sampled_from([k for k, pieces in left.items() if pieces]))
        index, tool = key
        piece = left[key].pop(0)
        delta = {"content": piece} if tool is None else {
            "tool_calls": [{"index": tool, "function": {"arguments": piece}}]
        }  # fmt: skip
        choice = {"index": index, "delta": delta, "finish_reason": None, "odd": {"a": 1.0}}
        events.append(
            b"data: " + orjson.dumps({"id": "c", "object": "o", "choices": [choice]}) + b"\n\n"
        )
    return events


def joined(data):
    texts = {}
    for event in payloads(data):
        for choice in event["choices"]:
            delta = choice["delta"]
            if "content" in delta:
                key = (choice["index"], None)
                texts[key] = texts.get(key, "") + delta["content"]
            for call in delta.get("tool_calls", ()):
                key = (choice["index"], call["index"])
                texts[key] = texts.get(key, "") + call["function"]["arguments"]
    return texts


@given(
    st.data(),
    st.lists(nasty, min_size=4, max_size=4),
    cuts,
    st.sampled_from(["finish", "done", "cut"]),
)
def test_four_choices_and_their_tool_calls_are_restored_each_in_its_own_way(
    data, values, where, end
):
    one = redaction(
        ruleset(("email",), own=({"name": "marked", "pattern": r"<<(?s:.*?)>>"},), answers=KINDS)
    )
    plain = [f"{v} <<{v}>> jane{i}@example.com" for i, v in enumerate(values)]
    sent = [one.request_text(text) for text in plain]
    runs = {(i, None): text for i, text in enumerate(sent)}
    runs |= {(i, i % 2): orjson.dumps({"v": text}).decode() for i, text in enumerate(sent)}
    events = interleaved(data, runs)
    if end == "finish":
        events += [chunk({}, "stop").replace(b'"index":0', b'"index":%d' % i) for i in range(4)]
    events += [DONE] if end != "cut" else []

    out = streamed(one, torn(b"".join(events), where))

    texts = joined(out)
    for i, text in enumerate(plain):
        assert texts[i, None] == one.answer_text(sent[i], is_json=False)
        assert orjson.loads(texts[i, i % 2])["v"].endswith(f"<<{values[i]}>> jane{i}@example.com")
        assert text.endswith(f"jane{i}@example.com")
    assert out.count(b'"odd":{"a":1.0}') >= len(events) - 5
    assert out.endswith(DONE) is (end != "cut")


@given(texts, cuts, st.booleans())
def test_a_responses_stream_stays_gapless_and_says_one_thing(text, where, has_done):
    one = redaction(ruleset(("email",), answers=KINDS))
    sent = one.request_text(f"{text} to jane@example.com")
    base = {"item_id": "msg_1", "output_index": 0, "content_index": 0, "odd": 1.0}
    events = [typed("response.created", 0, response={"id": "resp_1", "output": []})]
    for piece in torn(sent, where):
        events.append(
            typed(
                "response.output_text.delta",
                len(events),
                **base,
                delta=piece,
                logprobs=[],
                obfuscation="aX9",
            )
        )
    if has_done:
        events.append(typed("response.output_text.done", len(events), **base, text=sent))
    output = [{"type": "message", "content": [{"type": "output_text", "text": sent}]}]
    events.append(
        typed("response.completed", len(events), response={"id": "resp_1", "output": output})
    )

    made = payloads(streamed(one, events))

    whole = one.answer_text(sent, is_json=False)
    assert whole.endswith("jane@example.com")
    assert [e["sequence_number"] for e in made] == list(range(len(made)))
    assert "".join(e["delta"] for e in made if e["type"].endswith("delta")) == whole
    assert all(e["text"] == whole for e in made if e["type"].endswith("text.done"))
    assert made[-1]["response"]["output"][0]["content"][0]["text"] == whole
    assert all(e.get("odd", 1.0) == 1.0 for e in made)


@given(st.sampled_from([d for d in ALL if not d.decode]), st.data())
def test_every_beginning_of_a_match_is_in_the_closure(detector, data):
    text = data.draw(st.sampled_from(VALUES)).encode()
    begun = Program(closure(detector.whole), is_longest=True)
    whole = Program(detector.whole)
    at, end = whole.find(text, 0, len(text))
    for stop in range(at + 1, end + 1):
        # A character torn in two is whole again before anything is searched.
        if (text[stop : stop + 1] or b"a")[0] & 0xC0 != 0x80:
            assert begun.end_at(text[:stop], at, stop) == stop


@given(texts)
def test_unknown_bytes_of_a_body_are_left_alone(text):
    literal = orjson.dumps(text)
    raw = b'{ "a" : 1.0e5,"b":[ %s ,123456789012345678901234567890], "c":null , "\\u0061":%s}' % (
        literal,
        literal,
    )

    made = rewrite_texts(redaction().request_text, raw)

    if made is not None:
        body = orjson.loads(made)
        changed = orjson.dumps(body["b"][0])
        assert made == raw.replace(literal, changed)


@given(texts, st.booleans())
def test_a_body_that_looks_clean_at_one_look_is_clean(text, is_nested):
    content = orjson.dumps({"a": text}).decode() if is_nested else text
    raw = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": content}]})

    if redaction().is_clean(raw):
        assert rewrite_texts(redaction().request_text, raw) is None


@given(texts, st.integers(0, 50))
def test_a_scan_never_finds_what_is_not_there(text, start):
    found, until = scan(SCANNING.source, text, min(start, len(text)), is_final=True)

    at = min(start, len(text))
    for one in found:
        assert at <= one.start < one.end <= len(text)
        at = one.end
    assert until == len(text)


def test_frames_are_as_the_framer_makes_them():
    one = redaction(RESTORING)
    one.request_text("jane@example.com")
    frame = Frame.of(b'{"choices":[{"index":0,"delta":{"content":"hi"}}]}')

    assert streamed(one, [frame.raw]) == frame.raw
