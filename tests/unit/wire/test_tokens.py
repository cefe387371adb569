"""What of a body costs tokens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import BadRequest
from proxy.wire.tokens import capped, choices_of, prompt_of, wanted_of

JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(max_size=5)
    | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "type", "text", "input_audio"]), inner
        )
    ),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"messages": [{"role": "user", "content": "Hi"}]}, (b"Hi", 1, 0, 0)),
        (
            {"messages": [{"role": "user", "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 999}},
            ]}]},
            (b"What is this?", 1, 1, 0),
        ),
        (
            {"messages": [{"role": "user", "content": [
                {"type": "input_audio", "input_audio": {"data": "A" * 64_000, "format": "wav"}}]}]},
            (b"", 1, 0, 10),
        ),
        ({"input": [{"type": "input_file", "file_data": "A" * 800}]}, (b"", 0, 0, 100)),
        ({"prompt": "Once"}, (b"Once", 0, 0, 0)),
        ({"prompt": [1, 2, 3]}, (b"", 0, 0, 3)),
        ({"input": [[1, 2], [3]]}, (b"", 0, 0, 3)),
        ({"instructions": "Be kind", "input": "Hi"}, (b"Hi\nBe kind", 0, 0, 0)),
        ({"input": "Hi", "tools": [{"a": 1}]}, (b'Hi[{"a":1}]', 0, 0, 0)),
        ({}, (b"", 0, 0, 0)),
    ],
)  # fmt: skip
def test_text_is_gathered_and_media_counted_apart(body, expected):
    assert tuple(prompt_of(body)) == expected


@given(st.dictionaries(st.sampled_from(["messages", "input", "prompt", "tools"]), JUNK))
def test_no_body_however_odd_raises(body):
    assert prompt_of(body).messages >= 0


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, None),
        ({"max_tokens": None}, None),
        ({"max_tokens": 5}, 5),
        ({"max_tokens": 5, "max_completion_tokens": 3}, 3),
        ({"max_output_tokens": 0}, 0),
    ],
)
def test_the_least_bound_is_the_wanted_one(body, expected):
    assert wanted_of(body) == expected


@pytest.mark.parametrize("value", ["5", 5.0, True, -1, [5], {}])
def test_a_bound_that_is_no_number_is_refused(value):
    with pytest.raises(BadRequest, match="max_tokens"):
        wanted_of({"max_tokens": value})


@pytest.mark.parametrize(
    ("body", "expected"),
    [({}, 1), ({"n": 4}, 4), ({"n": 2, "best_of": 5}, 5), ({"prompt": ["a", "b"], "n": 2}, 4),
     ({"prompt": [1, 2, 3]}, 1), ({"n": None}, 1)],
)  # fmt: skip
def test_choices_multiply(body, expected):
    assert choices_of(body) == expected


@pytest.mark.parametrize("value", [0, -1, "2", True, 1.5, 1000])
def test_a_number_of_choices_that_is_none_is_refused(value):
    with pytest.raises(BadRequest, match="n must"):
        choices_of({"n": value})


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, {"max_completion_tokens": 10}),
        ({"max_tokens": 50}, {"max_tokens": 10}),
        ({"max_tokens": 5}, {}),
        ({"max_tokens": 5, "max_completion_tokens": 50}, {"max_completion_tokens": 10}),
        ({"max_tokens": None}, {"max_completion_tokens": 10}),
    ],
)
def test_an_answer_is_capped_in_the_clients_own_field(body, expected):
    assert capped(body, 10, "max_completion_tokens") == expected
