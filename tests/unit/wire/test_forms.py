"""Forms as they stream by: what decides stands in them once, for every reader."""

import contextlib
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import BadRequest
from proxy.wire.forms import MAX_HEAD, Once, form_boundary, form_fields, once_of

PLAIN = b'Content-Disposition: form-data; name="%s"'
SOUND = (
    PLAIN % b"file" + b'; filename="a.wav"\r\nContent-Type: audio/wav',
    b"\0\n--B-\r\n\r\n" * 3000,
)
MODEL = (PLAIN % b"model", b"whisper")


def form(*parts, line=b"\r\n"):
    return b"".join(
        b"--B" + line + head + line + line + value + line for head, value in parts
    ) + b"--B--" + line  # fmt: skip


def seen(data, cuts=()):
    once = once_of("multipart/form-data; boundary=B")
    edges = sorted({0, len(data), *(c for c in cuts if c < len(data))})
    for a, b in pairwise(edges):
        once.see(data[a:b])


@given(st.lists(st.integers(0, 500), max_size=20))
def test_a_plain_form_goes_by_however_it_is_torn(cuts):
    seen(form(MODEL, (PLAIN % b"prompt", b"model"), SOUND, (PLAIN % b"stream", b"true")), cuts)


@pytest.mark.parametrize("head", [
    PLAIN % b"model",
    b"content-disposition:form-data;name=model",
    b'Content-Disposition: form-data;\r\n name="model"',
    b"Content-Disposition: form-data; name*=utf-8'en'm%6fdel",
    b"Content-Disposition: form-data; name*0=model",
    b'Content-Disposition: form-data; name="mo\\del"',
    b'Content-Disposition: form-data; name = "model"',
    b'Content-Disposition : form-data; NAME="Model"',
    b"Content-Disposition: form-data; name='model'",
    b'Content-Disposition: form-data; name="x"\r\nContent-Disposition: form-data; name="model"',
    b'Content-Disposition: form-data; x="--B"; name="model"',
    PLAIN % b"model" + b'; filename=""',
    b'X: a\r\n--BZ: b\r\nContent-Disposition: form-data; name="model"',
    b"Content-Disposition: form-data; name*0=mo; name*1=del",
    b'X: a\rContent-Disposition: form-data; name="model"',
])  # fmt: skip
@given(cuts=st.lists(st.integers(0, 200), max_size=10))
def test_what_somebody_may_read_as_a_second_model_is_refused(head, cuts):
    for parts in ((MODEL, (head, b"other")), (MODEL, SOUND, (head, b"other"))):
        with pytest.raises(BadRequest):
            seen(form(*parts), cuts)


@pytest.mark.parametrize("rest", [
    b"--B\r\nX: " + b"x" * MAX_HEAD + b"\r\n%s\r\n\r\n",
    b"--B\v\r\n%s\r\n\r\n",
    b"--B\r%s\r\r",
    b"x\r--B\r%s\r\r",
])  # fmt: skip
@given(cuts=st.lists(st.integers(0, MAX_HEAD + 200), max_size=10))
def test_a_second_model_is_refused_wherever_some_begin_a_part(rest, cuts):
    data = form(MODEL)[: -len(b"--B--\r\n")] + rest % MODEL[0] + b"other\r\n--B--\r\n"
    with pytest.raises(BadRequest):
        seen(data, cuts)


@given(cuts=st.lists(st.integers(0, 200), max_size=10))
def test_some_find_the_first_boundary_within_a_line(cuts):
    with pytest.raises(BadRequest):
        seen(b"before" + form((MODEL[0], b"other"))[: -len(b"--B--\r\n")] + form(MODEL), cuts)
    seen(form((PLAIN % b"prompt", b"of --B\r\nname=model"), MODEL), cuts)


def test_a_name_is_read_whole_or_not_at_all():
    head = PLAIN % b"model.x"

    assert form_fields(form((head, b"cheap"), (PLAIN % b"prompt", b"")), b"B") == {"prompt": ""}


def test_a_head_is_refused_before_its_end_where_its_lines_end_oddly():
    once = Once(b"B")
    once.see(form(MODEL)[:-7])
    with pytest.raises(BadRequest):
        once.see(b'\r\n--B\nContent-Disposition: form-data; name="model"\n\nother')


@pytest.mark.parametrize("rest", [b"--B", b"--B\r\n", b"--B" + b" " * MAX_HEAD * 3])
def test_little_is_held_whatever_comes(rest):
    once = Once(b"B")
    with contextlib.suppress(BadRequest):
        for byte in rest + b"x" * MAX_HEAD * 2:
            once.see(bytes((byte,)))

    assert len(once._held) <= MAX_HEAD + 10


@pytest.mark.parametrize("many", [
    b"--B\r\n", b"x--B\r\n", b"--B  ", b"\n--B ", b"\r\n--B\r\nname=x;", b"Content-Disposition:;",
])  # fmt: skip
def test_no_form_takes_long(many):
    once = Once(b"B")
    began = time.thread_time()
    for _ in range(10):
        with contextlib.suppress(BadRequest):
            once.see(b"--B\r\n" + many * (60_000 // len(many)))
        with contextlib.suppress(BadRequest):
            once.see(many * (60_000 // len(many)))

    assert time.thread_time() - began < 1


@pytest.mark.parametrize(("given", "boundary"), [
    ("multipart/form-data; boundary=B", b"B"),
    ("Multipart/Form-Data;charset=utf-8;BOUNDARY=----x_'()+,./:=?", b"----x_'()+,./:=?"),
    ('multipart/form-data; boundary="a b"; x=y', b"a b"),
    ("multipart/form-data", None),
    ("multipart/mixed; boundary=B", None),
    ("multipart/form-data; boundary=", None),
    ("multipart/form-data; boundary=" + "B" * 71, None),
    ("multipart/form-data; boundary=B; boundary=C", None),
    ("multipart/form-data; boundary=B; boundary*=utf-8''C", None),
    ("multipart/form-data; boundary*=utf-8''C", None),
    ('multipart/form-data; x="; boundary=B"; boundary=C', None),
    ('multipart/form-data; boundary="B\\C"', None),
    ('multipart/form-data; boundary="B" C', None),
])  # fmt: skip
def test_a_boundary_is_one_that_all_readers_take(given, boundary):
    assert form_boundary(given) == boundary


@pytest.mark.parametrize("before", [b"x", b"\r\n", b"x\n"])
@pytest.mark.parametrize("behind", [b"", b"x"])
def test_what_stands_in_a_value_is_no_field(before, behind):
    mark = b"--B" + behind
    if before == b"\r\n" and not behind:
        mark = b"-- B"
    inner = before + mark + b"\r\n" + MODEL[0] + b"\r\n\r\ninner"
    fields = form_fields(form((PLAIN % b"prompt", inner), (PLAIN % b"model", b"outer")), b"B")

    assert fields["model"] == "outer"


def test_a_field_is_read_as_it_stands():
    assert form_fields(b"before\r\n" + form((PLAIN % b"user", b"a\r\n"), MODEL), b"B") == {
        "user": "a\r\n", "model": "whisper",
    }  # fmt: skip
