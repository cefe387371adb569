"""Bodies are found whatever the network does to the bytes."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import UpstreamProtocol, UpstreamReset
from proxy.wire.transfer import Chunked, Fixed, UntilClose, transfer

pieces = st.lists(st.binary(min_size=1, max_size=40), max_size=8)
cuts = st.lists(st.integers(0, 600), max_size=16)


def torn(data, cuts):
    edges = sorted({0, len(data), *(c for c in cuts if c < len(data))})
    return [data[a:b] for a, b in pairwise(edges)]


def encoded(chunks, extension=b"", trailers=b""):
    body = b"".join(b"%x%s\r\n%s\r\n" % (len(c), extension, c) for c in chunks)
    return body + b"0" + extension + b"\r\n" + trailers + b"\r\n"


@given(pieces, cuts, st.sampled_from([b"", b";a=b", b' ; q="x"']), st.booleans())
def test_any_tearing_of_chunks_gives_the_same_body(chunks, where, extension, has_trailer):
    data = encoded(chunks, extension, b"x-sum: 1\r\n" if has_trailer else b"")
    decoder = Chunked()

    body = b"".join(decoder.feed(piece) for piece in torn(data, where))

    assert body == b"".join(chunks)
    assert decoder.is_done
    assert decoder.can_reuse


@given(
    st.lists(st.text("\r\n05a", min_size=1, max_size=12).map(str.encode), max_size=6),
    cuts,
    st.integers(0, 2),
)
def test_line_breaks_and_digits_in_chunks_are_only_bytes(chunks, where, times):
    # Again and again, as sizes that came before are known at a look.
    data = encoded(chunks)
    for _ in range(times + 1):
        decoder = Chunked()

        body = b"".join(decoder.feed(piece) for piece in torn(data, where))

        assert body == b"".join(chunks)
        assert decoder.is_done
        assert decoder.can_reuse


@given(pieces, cuts)
def test_a_chunked_body_that_stops_early_is_never_taken_for_whole(chunks, where):
    data = encoded(chunks)[:-1]
    decoder = Chunked()

    for piece in torn(data, where):
        decoder.feed(piece)

    assert not decoder.is_done
    with pytest.raises(UpstreamReset):
        decoder.end()


@given(st.binary(max_size=200), cuts)
def test_whatever_bytes_come_the_decoder_answers_or_refuses(data, where):
    decoder = Chunked()
    size = 0

    try:
        for piece in torn(data, where):
            size += len(decoder.feed(piece))
            if decoder.is_done:
                break
    except UpstreamProtocol:
        return

    assert size <= len(data)


@given(st.binary(max_size=100), st.binary(max_size=20), cuts)
def test_a_fixed_body_ends_at_its_length(body, extra, where):
    decoder = Fixed(len(body))

    got = b"".join(decoder.feed(piece) for piece in torn(body + extra, where))

    assert got == body
    assert decoder.is_done
    assert decoder.can_reuse == (not extra)


@pytest.mark.parametrize(
    "line",
    [b"+5", b"-1", b"0x5", b"5_0", b" 5", b"", b"g", b"fffffffffffffffff", b"5 5", b"\n5", b"5\n"],
)
def test_a_chunk_size_is_hexadecimal_and_nothing_else(line):
    with pytest.raises(UpstreamProtocol):
        Chunked().feed(line + b"\r\nhello\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    "data", [b"3\r\nabcd\r\n0\r\n\r\n", b"3\r\nabc0\r\n\r\n", b"3\r\nabc\n0\r\n\r\n"]
)
def test_a_chunk_longer_than_its_size_is_refused(data):
    with pytest.raises(UpstreamProtocol):
        Chunked().feed(data)


def test_a_size_line_or_trailer_without_end_is_not_hoarded():
    with pytest.raises(UpstreamProtocol):
        Chunked().feed(b"1;" + b"x" * 2000)

    with pytest.raises(UpstreamProtocol):
        Chunked().feed(b"0\r\n" + b"x: y\r\n" * 4000)


def test_bytes_after_the_last_chunk_forbid_reuse():
    decoder = Chunked()

    assert decoder.feed(b"1\r\na\r\n0\r\n\r\nHTTP/1.1 200 OK") == b"a"
    assert decoder.is_done
    assert not decoder.can_reuse


def test_until_close_ends_with_the_connection():
    decoder = UntilClose()

    assert decoder.feed(b"abc") == b"abc"
    assert not decoder.is_done
    decoder.end()
    assert decoder.is_done
    assert not decoder.can_reuse


@pytest.mark.parametrize(
    ("status", "is_head", "encoding", "length", "kind"),
    [
        (200, False, None, b"5", Fixed),
        (200, False, b"Chunked", None, Chunked),
        (200, False, None, None, UntilClose),
        (204, False, None, None, Fixed),
        (304, False, None, b"5", Fixed),
        (200, True, b"chunked", None, Fixed),
    ],
)
def test_framing_headers_choose_the_decoder(status, is_head, encoding, length, kind):
    made = transfer(status=status, is_head=is_head, encoding=encoding, length=length)

    assert type(made) is kind


@pytest.mark.parametrize(
    ("encoding", "length"),
    [(b"chunked", b"5"), (b"gzip, chunked", None), (b"identity", None), (None, b"5, 5"),
     (None, b"-1"), (None, b"1e3"), (None, b""), (None, b"9" * 30)],
)  # fmt: skip
def test_contradicting_or_odd_framing_is_refused(encoding, length):
    with pytest.raises(UpstreamProtocol):
        transfer(status=200, is_head=False, encoding=encoding, length=length)
