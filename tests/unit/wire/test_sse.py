"""Events cut out of a stream of bytes, whatever ends their lines and wherever it is cut."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.frame import Frame
from proxy.wire.sse import EventTooLong, Framer

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=8)
LINES = st.lists(
    st.one_of(
        TEXT.map("data: {}".format), TEXT.map("data:{}".format), TEXT.map("event: {}".format),
        TEXT.map(": {}".format), st.just("data"), st.just("id: 5"),
    ),
    min_size=1, max_size=4,
)  # fmt: skip
EVENTS = st.lists(st.tuples(LINES, st.sampled_from(["\n", "\r\n"])), min_size=1, max_size=5)


def read_plainly(lines):
    """Data and type of an event, as the standard has it."""
    data, kind = [], ""
    for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
        elif name == "event":
            kind = value
    return "\n".join(data).encode(), kind.encode()


def in_pieces(data, cuts):
    at = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(at)]


@given(EVENTS, st.lists(st.integers(0, 10**4), max_size=6), st.booleans())
def test_events_are_the_same_wherever_the_stream_is_cut(events, cuts, has_mark):
    data = "".join(end.join([*lines, "", ""]) for lines, end in events).encode()
    sent = b"\xef\xbb\xbf" + data if has_mark else data
    framer = Framer()
    frames = [frame for part in in_pieces(sent, cuts) for frame in framer.feed(part)]

    assert b"".join(frame.raw for frame in frames) == data
    assert [(f.data, f.event) for f in frames] == [read_plainly(lines) for lines, _ in events]
    assert framer.flush() is None


def test_what_is_left_at_the_end_is_an_event_and_blanks_are_none():
    framer = Framer()
    assert framer.feed(b"data: a\n\ndata: b\ndata: c")[0].data == b"a"
    left = framer.flush()

    assert (left.raw, left.data) == (b"data: b\ndata: c", b"b\nc")
    framer.feed(b"\r\n")
    assert framer.flush() is None


@pytest.mark.parametrize("part", [b"x", b"data: x\r"])
def test_an_event_that_never_ends_is_given_up_before_it_fills_the_memory(part):
    framer = Framer(max_event=20)
    fed = [part] * (20 // len(part))
    assert [framer.feed(data) for data in fed] == [[]] * len(fed)
    with pytest.raises(EventTooLong):
        framer.feed(part)


def test_a_frame_shows_its_size_and_nothing_it_holds():
    assert repr(Frame.of(b"hidden")) == "Frame(14 bytes)"
