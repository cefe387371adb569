"""The driver's promises, as transcripts."""

import asyncio
import logging

import pytest

from proxy.core.errors import Unauthenticated, UpstreamReset, UpstreamTimeout
from proxy.core.exchange import Head
from proxy.core.frame import Frame
from proxy.core.policy import Answer, StreamHalf
from tests.kit import Hold, Probe, Shout, Transcript, play

PROMPT = "what a client said"


async def test_a_request_goes_in_and_its_answer_comes_back_in_mirror_order():
    log = Transcript()

    end = await play(log, [Probe(log, "a"), Probe(log, "b")], b"hi", b"there")

    assert end.kind == "complete"
    assert log == [
        "a request", "b request", "> forward", "b response", "a response", "< 200", "< hi",
        "< there", "< end", "> close", "b end complete", "a end complete",
    ]  # fmt: skip


async def test_an_answer_is_seen_only_by_the_stages_before_it():
    log = Transcript()
    hit = Answer(Head(200, []), (Frame(b"cached", b"cached"),))
    stages = [Probe(log, "redact"), Probe(log, "cache", answer=hit), Probe(log, "quota")]

    await play(log, stages)

    assert log == [
        "redact request", "cache request", "redact response", "< 200", "< cached", "drained",
        "< end", "cache end complete", "redact end complete",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("thrown", "kind", "said"),
    [
        (UpstreamTimeout("silent"), "upstream_broke", "< refused 504 upstream_timeout"),
        (UpstreamReset("gone"), "upstream_broke", "< refused 502 upstream_reset"),
        (ZeroDivisionError(), "refused", "< refused 500 internal_error"),
        (ConnectionResetError(), "client_gone", None),
    ],
)
@pytest.mark.parametrize("where", ["stage", "stream"])
async def test_every_entered_stage_ends_once_whatever_happens(thrown, kind, said, where):
    log = Transcript()
    bad = Probe(log, "bad", fails=thrown if where == "stage" else None)

    end = await play(log, [Probe(log, "a"), bad, Probe(log, "c")], b"hi", thrown)

    entered = ["bad", "a"] if where == "stage" else ["c", "bad", "a"]
    assert end.kind == kind
    assert [line for line in log if " end " in line] == [f"{n} end {kind}" for n in entered]
    assert [line for line in log if "refused" in line and line[0] == "<"] == (
        [said] if said else []
    )
    assert ("> close" in log) == (where == "stream")


@pytest.mark.parametrize("where", ["stage", "stream"])
async def test_a_client_that_leaves_ends_every_stage_and_is_raised(where):
    log = Transcript()
    gone = asyncio.CancelledError()
    bad = Probe(log, "b", fails=gone if where == "stage" else None)

    with pytest.raises(asyncio.CancelledError):
        await play(log, [Probe(log, "a"), bad], b"hi", gone)

    assert log[-2:] == ["b end client_gone", "a end client_gone"]


async def test_a_stage_that_fails_in_its_end_does_not_keep_the_others_from_theirs(caplog):
    log = Transcript()

    class Broken(Probe):
        def on_end(self, x, end):
            raise KeyError(PROMPT)

    with caplog.at_level(logging.ERROR):
        await play(log, [Probe(log, "a"), Broken(log, "b"), Probe(log, "c")], b"hi")

    assert log[-2:] == ["c end complete", "a end complete"]
    assert "stage b in on_end: KeyError" in caplog.text
    assert PROMPT not in caplog.text


async def test_a_bug_is_told_by_its_id_and_logged_without_its_message(caplog):
    log = Transcript()

    with caplog.at_level(logging.ERROR):
        await play(log, [Probe(log, "a", fails=ValueError(PROMPT))])

    assert "r1" in caplog.text
    assert "test_pipeline" in caplog.text or "kit.py" in caplog.text
    assert PROMPT not in caplog.text


async def test_halves_get_whole_events_and_may_send_more_or_hold_back():
    log = Transcript()
    stages = [Probe(log, "outer", half=Hold()), Probe(log, "inner", half=Shout())]

    await play(log, stages, b"data: a\n\nda", b"ta: b\n\n")

    assert log[5:] == [
        "< 200", "< data: A\n\n", "< data: A\n\n", "< data: B\n\n", "< data: B\n\n",
        "< data: LAST\n\n", "< end", "> close", "inner end complete", "outer end complete",
    ]  # fmt: skip


async def test_without_halves_bytes_pass_as_they_came():
    log = Transcript()

    await play(log, [Probe(log, "a")], b"da", b"ta: torn", b"\n")

    assert [line for line in log if line.startswith("< ")] == [
        "< 200", "< da", "< ta: torn", "< \n", "< end",
    ]  # fmt: skip


async def test_a_whole_body_goes_through_halves_at_once_with_its_new_length():
    log = Transcript()

    class Longer(Shout):
        def feed(self, frame, send):
            send(Frame(frame.raw + b"!", b""))

        def flush(self, send):
            pass

    await play(log, [Probe(log, "a", half=Longer())], b'{"a"', b":1}", stream=False)

    assert log[3:6] == ["< 200 of 8", '< {"a":1}!', "< end"]


async def test_a_client_that_is_behind_is_waited_for():
    log = Transcript()
    log.is_full = True

    await play(log, [Probe(log, "a")], b"one", b"two")

    assert log[4:8] == ["< one", "drained", "< two", "drained"]


async def test_a_client_that_is_gone_when_it_is_to_be_refused_ends_all_the_same():
    log = Transcript()

    def gone(x, error):
        raise ConnectionResetError

    log.refuse = gone

    end = await play(log, [Probe(log, "a")], UpstreamReset("x"))

    assert end.kind == "upstream_broke"
    assert log[-1] == "a end upstream_broke"


class Waits(StreamHalf):
    """Holds every event until somebody has been waited for."""

    def __init__(self, log, fails=None):
        self.log, self.fails, self.held = log, fails, []

    def feed(self, frame, send):
        self.held.append(frame)

    @property
    def is_waiting(self):
        return bool(self.held)

    async def settle(self, send):
        self.log.append(f"waited for {len(self.held)}")
        if self.fails is not None:
            raise self.fails
        held, self.held = self.held, []
        for frame in held:
            send(frame)


async def test_a_half_that_waits_stops_the_upstream_and_then_lets_go():
    log = Transcript()

    await play(log, [Probe(log, "a", half=Waits(log))], b"data: 1\n\n", b"data: 2\n\ndata: 3\n\n")

    assert log[3:-2] == [
        "< 200",
        "waited for 1", "< data: 1\n\n", "drained",
        "waited for 2", "< data: 2\n\n", "< data: 3\n\n", "drained",
        "< end",
    ]  # fmt: skip


async def test_a_whole_body_waits_before_its_head_is_sent():
    log = Transcript()

    await play(log, [Probe(log, "a", half=Waits(log))], b"{}", stream=False)

    assert log[3:6] == ["waited for 1", "< 200 of 2", "< {}"]


async def test_what_a_half_waited_for_may_refuse_the_answer():
    log = Transcript()
    half = Waits(log, fails=Unauthenticated("no"))

    end = await play(log, [Probe(log, "a", half=half)], b"data: 1\n\n", b"data: 2\n\n")

    assert end.kind == "refused"
    assert log[4:7] == ["waited for 1", "> close", "< refused 401 invalid_api_key"]


async def test_what_halves_hold_is_sent_when_the_upstream_breaks_off():
    log = Transcript()

    await play(log, [Probe(log, "a", half=Hold())], b"data: 1\n\n", UpstreamReset("x"))

    assert log[3:6] == ["< 200", "< data: 1\n\n", "> close"]


class Gather(StreamHalf):
    """Keeps events until there are no more at hand."""

    def __init__(self):
        self.held = []

    def feed(self, frame, send):
        self.held.append(frame)

    def pause(self, send):
        for frame in self.held:
            send(Frame.of(b"%s of %d" % (frame.data, len(self.held))))
        self.held = []


async def test_events_of_one_read_may_be_looked_at_together_and_leave_in_one_write():
    log = Transcript()

    await play(log, [Probe(log, "a", half=Gather())], b"data: x\n\ndata: y\n\nda", b"ta: z\n\n")

    assert [line for line in log if "data" in line] == [
        "< data: x of 2\n\ndata: y of 2\n\n",
        "< data: z of 1\n\n",
    ]
