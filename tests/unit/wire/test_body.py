"""Bodies that are refused before anybody else reads them, and what is read of the others."""

import orjson
import pytest

from proxy.core.errors import BadRequest, InvalidBody
from proxy.wire.body import (
    MAX_CONTAINERS,
    MAX_DEPTH,
    MAX_NAME,
    MAX_STRINGS,
    facts_of,
    model_of,
    parse_json,
    stream_of,
)


def nested(levels):
    return b'{"a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


@pytest.mark.parametrize(
    "raw",
    [
        nested(MAX_DEPTH),
        b'{"a":[%s]}' % b",".join([b"[]"] * 200),
        b'{"a":"%s"}' % (b"[" * 200),
        b'{"a":[%s]}' % b",".join([b'"[\\"{"'] * 200),
        b'{"a":[%s]}' % b",".join([b'""'] * (MAX_STRINGS // 2)),
        b'{"a":[%s]}' % b",".join([b"[]"] * (MAX_CONTAINERS - 2)),
    ],
)
def test_a_body_that_is_large_and_within_bounds_is_read(raw):
    assert parse_json(raw) == orjson.loads(raw)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (nested(MAX_DEPTH + 1), "levels deep"),
        (b"[" * 200, "levels deep"),
        (b'{"a":[%s]}' % b",".join([b"[]"] * MAX_CONTAINERS), "lists and objects"),
        (b'{"a":[%s]}' % b",".join([b'""'] * (MAX_STRINGS + 1)), "strings"),
        (b" \n", "empty"),
        (b"[]", "must be a JSON object"),
        (b'{"a":NaN}', "NaN and Infinity"),
        (b'{"a":-Infinity}', "NaN and Infinity"),
        (b'{"a":"\xff"}', "UTF-8"),
        (b'{"a":"\\ud800"}', "surrogate"),
        (b'{"a":1', "unexpected end"),
        (b'{"a":hidden}', "unexpected character"),
        (b'{"Model":"hidden"}', "spelled otherwise"),
        ('{"\u017ftream":true}'.encode(), "spelled otherwise"),
        (b'{"model":"a","model":"hidden"}', "given twice"),
        (b'{"model":"a","\\u006dodel":"hidden"}', "given twice"),
    ],
)
def test_a_body_that_two_could_read_differently_or_that_hurts_is_refused(raw, why):
    with pytest.raises(InvalidBody, match=why) as raised:
        parse_json(raw)

    assert "hidden" not in str(raised.value)


@pytest.mark.parametrize(
    "raw", [b'{"a":{"model":1},"b":{"model":2}}', b'{"a":"\\"model\\":","model":"m"}']
)
def test_a_name_that_stands_twice_elsewhere_is_no_harm(raw):
    assert parse_json(raw) == orjson.loads(raw)


def test_a_field_that_is_null_is_a_field_that_is_not_given():
    assert (model_of({"model": None}), stream_of({"stream": None})) == ("", False)
    assert (model_of({}), stream_of({})) == ("", False)


@pytest.mark.parametrize("model", [5, ["m"], "x" * (MAX_NAME + 1), "a\nb", "a\u202eb", "\ud800"])
def test_a_model_that_cannot_be_a_name_is_refused(model):
    with pytest.raises(BadRequest) as raised:
        model_of({"model": model})

    assert raised.value.param == "model"


@pytest.mark.parametrize("stream", ["true", 1, 0, []])
def test_a_stream_is_asked_for_by_true_and_nothing_like_it(stream):
    with pytest.raises(BadRequest):
        stream_of({"stream": stream})


def test_images_are_seen_wherever_they_stand_and_their_bytes_are_no_text():
    image = {"type": "image_url", "image_url": {"url": "x" * 999}}
    body = {"messages": [{"content": [{"type": "text", "text": "h\u00e9"}, image]}], "tools": [1]}

    assert facts_of(body) == (True, True, len("text") + 3)
    assert facts_of({"input": "ab"}) == (False, False, 2)
