"""An answer that is here whole, given out at the client's pace."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core import ready
from proxy.core.exchange import Head
from proxy.core.ready import Ready


async def pumped(body, *, stream, is_full=True):
    pieces, drained = [], 0

    def write(data):
        pieces.append(data)
        return not is_full

    async def drain():
        nonlocal drained
        drained += 1

    await Ready(Head(200, [], is_stream=stream), body).pump(write, drain)
    return pieces, drained


@pytest.mark.parametrize("is_full", [True, False])
async def test_a_client_that_is_behind_is_waited_for_after_each_piece(is_full):
    body = b"x" * (2 * ready.PIECE + 1)
    pieces, drained = await pumped(body, stream=False, is_full=is_full)

    assert list(map(len, pieces)) == [ready.PIECE, ready.PIECE, 1]
    assert drained == (3 if is_full else 0)


@given(st.lists(st.binary(min_size=1, max_size=30).map(lambda b: b.replace(b"\n", b"x"))))
def test_a_stream_is_cut_between_events_only(said):
    body = b"".join(b"data: " + event + b"\n\n" for event in said)
    pieces, whole, before = [], ready.PIECE, ready.PIECE
    ready.PIECE = 16
    try:
        pump = Ready(Head(200, [], is_stream=True), body).pump
        coroutine = pump(lambda data: pieces.append(data) or True, None)
        with pytest.raises(StopIteration):
            coroutine.send(None)
    finally:
        ready.PIECE = before

    assert whole == before
    assert b"".join(pieces) == body
    assert all(piece.endswith(b"\n\n") and len(piece) <= 16 + 2 * 38 for piece in pieces)


async def test_a_stream_without_another_blank_line_goes_out_to_its_end():
    body = b"x" * (ready.PIECE + 5)
    pieces, _ = await pumped(body, stream=True)

    assert pieces == [body]
