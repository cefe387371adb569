"""Usage out of the answers of every API, and nothing out of nonsense."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.exchange import Usage
from proxy.wire.usage import WHOLE, finish_in, usage_in, usage_of_body

CHAT = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}


@pytest.mark.parametrize(
    ("body", "usage", "finish"),
    [
        ({"choices": [{"finish_reason": "stop"}], "usage": CHAT}, Usage(9, 4), "stop"),
        ({"usage": CHAT | {"prompt_tokens_details": {"cached_tokens": 5, "audio_tokens": 2}}},
         Usage(9, 4, cached=5, audio_in=2), ""),
        ({"usage": CHAT | {"completion_tokens_details": {"reasoning_tokens": 3}}},
         Usage(9, 4, reasoning=3), ""),
        ({"status": "completed", "usage": {"input_tokens": 7, "output_tokens": 2}},
         Usage(7, 2), "completed"),
        ({"data": [], "usage": {"prompt_tokens": 6, "total_tokens": 6}}, Usage(6, 0), ""),
        ({"usage": {"total_tokens": 8}}, Usage(8, 0), ""),
        ({"stop_reason": "end_turn", "usage": {"input_tokens": 3, "output_tokens": 1,
          "cache_read_input_tokens": 2, "cache_creation_input_tokens": 4}},
         Usage(9, 1, cached=2), "end_turn"),
        ({"usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 20}}, Usage(5, 1), ""),
        ({"usage": {"type": "duration", "seconds": 3}}, None, ""),
        ({"usage": {"prompt_tokens": -1, "completion_tokens": 4, "total_tokens": 3}}, Usage(0, 4), ""),
        ({"usage": {"prompt_tokens": True, "completion_tokens": "4"}}, None, ""),
        ({"usage": {"prompt_tokens": 10**30}}, None, ""),
        ({"usage": [1]}, None, ""),
        ({"usage": None}, None, ""),
    ],
)  # fmt: skip
def test_usage_of_a_body(body, usage, finish):
    data = json.dumps(body).encode()

    assert usage_of_body(data) == (usage, finish)


def test_a_large_body_is_searched_and_not_fooled_by_text():
    text = 'he said \\"usage\\": {\\"prompt_tokens\\": 1}'
    body = b'{"data":["%s","%s"],"usage":%s,"text":"%s"}' % (
        b"x" * WHOLE, text.encode(), orjson.dumps(CHAT), text.encode(),
    )  # fmt: skip

    assert usage_of_body(body)[0] == Usage(9, 4)
    assert usage_of_body(body[:100] + body[-400:])[0] == Usage(9, 4)


@pytest.mark.parametrize(
    ("event", "usage", "finish"),
    [
        ({"choices": [], "usage": CHAT}, Usage(9, 4), ""),
        ({"type": "response.completed", "response": {"status": "completed",
          "usage": {"input_tokens": 2, "output_tokens": 1}}}, Usage(2, 1), "completed"),
        ({"type": "message_start", "message": {"usage": {"input_tokens": 2, "output_tokens": 1}}},
         Usage(2, 1), ""),
        ({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}, None, "end_turn"),
        ({"choices": [{"delta": {}, "finish_reason": "length"}]}, None, "length"),
    ],
)  # fmt: skip
def test_usage_in_an_event(event, usage, finish):
    assert usage_in(event) == usage
    assert finish_in(event) == finish


nonsense = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["usage", "choices", "prompt_tokens", "response", "type", "delta", "finish_reason"]
            ),
            inner,
        )
    ),
    max_leaves=12,
)


@given(nonsense)
def test_nonsense_never_raises_and_is_never_negative(value):
    usage, _ = usage_of_body(orjson.dumps(value))
    found = usage_in(value) if isinstance(value, dict) else None

    for one in (usage, found):
        assert one is None or (one.prompt >= 0 and one.completion >= 0 and one.cached <= one.prompt)


@given(st.binary(max_size=200))
def test_bytes_never_raise(data):
    usage_of_body(data + b'"usage"' + data)
