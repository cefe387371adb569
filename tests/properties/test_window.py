"""However an answer is torn, the verdict is that of the whole."""

import contextlib

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.compile_guards import shipped_packs
from proxy.core.errors import ContentBlocked, ProxyError
from proxy.core.exchange import Head
from proxy.core.frame import Frame
from proxy.policies.tools import ToolsPolicy
from proxy.policies.watch import WatchPolicy
from proxy.rules.globs import GlobSet
from proxy.rules.guards import Guard
from proxy.rules.patterns import Finder, Pattern
from proxy.rules.toolbox import Toolbox
from proxy.rules.window import Window
from tests.corpus.evasions import EVASIONS
from tests.kit import exchange

WORDS = Finder([
    Pattern("drop", r"\bdrop\s+table\b"),
    Pattern("start", r"\Aonly here"),
    Pattern("end", r"the end\z"),
    Pattern("gap", r"open.{0,40}close"),
    Pattern("long", r"a{300}"),
])  # fmt: skip
BANNED = Finder(shipped_packs()["banned_output"])
BITS = st.sampled_from(
    ["drop", " ", "table", "s", "only here", "the end", "open", "close", "x" * 37, "a" * 150, "é\u200b",
     "\\u0064rop", "ZHJvcCB0YWJsZQ==", "rm -rf /", "\n", "i  ", "word " * 120]
)  # fmt: skip
TEXTS = st.lists(BITS, max_size=30).map("".join)


@st.composite
def torn(draw):
    """A text and the same text in pieces."""
    text = draw(TEXTS)
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=40)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    return text, [piece for piece in pieces if piece]


def verdict_of(finder, pieces):
    window = Window(finder)
    for piece in pieces:
        if found := window.feed(piece):
            return found
    return window.finish()


@given(torn())
def test_any_tearing_gives_the_verdict_of_the_whole(made):
    text, pieces = made

    for finder in (WORDS, BANNED):
        whole = verdict_of(finder, [text])
        assert verdict_of(finder, pieces) == whole
        assert verdict_of(finder, text) == whole


@given(st.integers(0, 2000), st.sampled_from(list(EVASIONS)), st.integers(0, 900))
def test_wherever_it_stands_it_is_found(before, way, after):
    hidden = EVASIONS[way]("drop table users;")
    filler = "Lorem ipsum dolor sit amet. " * 80

    assert verdict_of(BANNED, [f"{filler[:before]}. {hidden} {filler[:after]}"]) == "sql"


@given(st.integers(0, 1400))
def test_a_word_that_goes_on_is_another_word_at_every_place(before):
    filler = ("Lorem ipsum dolor sit amet. " * 80)[:before]

    assert verdict_of(WORDS, [f"{filler} drop tablets. {filler}"]) == ""
    assert verdict_of(WORDS, [f"{filler} raindrop table. {filler}"]) == ""
    assert verdict_of(WORDS, [f"x{filler} only here {filler}"]) == ""


def test_a_suspicion_is_dropped_when_the_word_goes_on():
    window = Window(WORDS)

    assert window.feed("drop table") == ""
    assert window.is_suspicious
    assert window.feed("ts and more " + "x " * 600) == ""
    assert not window.is_suspicious


class Jury:
    def later(self, case, tell):
        raise AssertionError


def chunk(text, index=0):
    data = orjson.dumps({"choices": [{"index": index, "delta": {"content": text}}]})
    return Frame.of(data)


def watch(guard, *, stream):
    counted = []
    policy = WatchPolicy({"": [guard]}, Jury(), lambda _, v: counted.append(v.word))
    head = Head(200, [], b"application/json", is_stream=stream)
    return policy.on_response(exchange(body=b""), head), counted


def played(half, frames):
    """What reaches the client, and the category that ended it."""
    sent = []
    try:
        for frame in frames:
            half.feed(frame, sent.append)
        half.flush(sent.append)
    except ContentBlocked as exc:
        return sent, exc.message.rpartition(" ")[2]
    return sent, ""


@given(torn(), st.sampled_from(["block", "flag"]))
def test_a_stream_meets_the_verdict_of_the_unstreamed_answer(made, action):
    text, pieces = made
    guard = Guard(name="g", action=action, finder=WORDS)
    streamed, counted = watch(guard, stream=True)
    whole, counted_whole = watch(guard, stream=False)
    frames = [*(chunk(piece) for piece in pieces), Frame.of(b"[DONE]")]
    body = orjson.dumps({"choices": [{"index": 0, "message": {"content": text}}]})

    sent, found = played(streamed, frames)
    sent_whole, found_whole = played(whole, [Frame(body, body)])

    assert (found, counted) == (found_whole, counted_whole)
    if not found:
        assert sent == frames
        assert [f.raw for f in sent_whole] == [body]
    else:
        assert sent == frames[: len(sent)]
        assert not any(frame.is_done for frame in sent)
        assert sent_whole == []


@given(torn(), torn())
def test_choices_do_not_mix(one, other):
    guard = Guard(name="g", finder=WORDS)
    half, _ = watch(guard, stream=True)
    frames = []
    for i in range(max(len(one[1]), len(other[1]))):
        frames += [
            chunk(made[1][i], index) for index, made in enumerate((one, other)) if i < len(made[1])
        ]

    _, found = played(half, [*frames, Frame.of(b"[DONE]")])

    assert bool(found) == bool(verdict_of(WORDS, [one[0]]) or verdict_of(WORDS, [other[0]]))


ODD = st.recursive(
    st.none() | st.integers(-3, 3) | st.sampled_from(["drop table", "response.completed", "x"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["type", "index", "choices", "delta", "message", "content", "output", "response", "object", "text",
                         "tool_calls", "function", "name", "arguments", "output_index", "item_id", "content_index"]),
        inner, max_size=6),
    max_leaves=20,
)  # fmt: skip


@given(st.lists(ODD, max_size=4), st.booleans())
def test_no_event_is_too_odd(events, stream):
    guards = [Guard(name="g", finder=WORDS), Guard(name="s", is_schema=True)]
    policy = WatchPolicy({"": guards}, Jury(), lambda *_: None)
    x = exchange(body=b"")
    x.body = {"response_format": {"type": "json_object"}}
    half = policy.on_response(x, Head(200, [], b"application/json", is_stream=stream))
    calls = ToolsPolicy({"": Toolbox(GlobSet(["x"]), 1)})
    other = calls.on_response(x, Head(200, [], b"application/json", is_stream=stream))
    for one in (half, other):
        with contextlib.suppress(ProxyError):
            for event in events:
                one.feed(Frame.of(orjson.dumps(event)), lambda _: None)
            one.flush(lambda _: None)


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_nested_beyond_reason_is_read_to_its_end(stream):
    half, _ = watch(Guard(name="g", finder=WORDS), stream=stream)
    deep = b'{"choices":' + b"[" * 900 + b'"drop table"' + b"]" * 900 + b"}"

    assert played(half, [Frame.of(deep)]) == ([], "drop")


@pytest.mark.parametrize(
    "frame", [b": ping\n\n", b"data: not json\n\n", b"event: x\ndata: [1]\n\n"]
)
def test_events_of_no_known_kind_pass(frame):
    half, _ = watch(Guard(name="g", finder=WORDS), stream=True)
    data = frame.partition(b"data: ")[2].strip()

    sent, found = played(half, [Frame(frame, data)])

    assert [f.raw for f in sent] == [frame]
    assert found == ""
