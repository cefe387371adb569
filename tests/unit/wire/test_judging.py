"""How judges are asked and how they are read."""

import contextlib

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.judging import Case, Said
from proxy.wire.judging import MAX_TEXT, Form, NoVerdict
from tests.judges import chat

CASE = Case(
    "g",
    (Said("user", "one"), Said("tool", "two"), Said("assistant", "three"), Said("user", "four")),
)


def read(answer, **form):
    return Form(**form).read(answer if isinstance(answer, bytes) else orjson.dumps(answer)).category


@pytest.mark.parametrize(
    ("answer", "form", "category"),
    [
        (
            {"results": [{"flagged": False}, {"flagged": True, "categories": {"hate": True}}]},
            {},
            "hate",
        ),
        ({"results": [{"flagged": True}]}, {}, "flagged"),
        (
            {"results": [{"flagged": True, "categories": {"hate": True}}]},
            {"categories": ("violence",)},
            "",
        ),
        (
            {"results": [{"flagged": False, "category_scores": {"hate": 0.4}}]},
            {"threshold": 0.3},
            "hate",
        ),
        (
            {"results": [{"flagged": True, "category_scores": {"hate": 0.4}}]},
            {"threshold": 0.5},
            "",
        ),
    ],
)
def test_moderations_are_read_by_flag_or_by_score(answer, form, category):
    assert read(answer, kind="moderation", **form) == category


@pytest.mark.parametrize(
    ("said", "category"),
    [
        ("safe", ""),
        ("\n\nsafe\n", ""),
        ("unsafe\nS1,S10", "S1"),
        ("unsafe", "UNSAFE"),
        ("Unsafe\ns9", "S9"),
    ],
)
def test_llama_guard_is_read_by_its_first_lines(said, category):
    assert read(chat(said), kind="llama_guard") == category


@pytest.mark.parametrize(
    ("said", "category"),
    [("Yes, because", "policy"), ("**No**", ""), ("no", "")],
)
def test_shieldgemma_is_read_by_its_first_word(said, category):
    assert read(chat(said), kind="shieldgemma") == category


@pytest.mark.parametrize(
    ("said", "category"),
    [('{"flagged": false}', ""), ('Here: ```{"flagged": true, "category": "x"}```', "x"),
     ('{"flagged": true, "category": 7}', "flagged"), ('{"flagged": true, "category": "é\\nx"}', "x")],
)  # fmt: skip
def test_a_json_verdict_may_have_words_around_it(said, category):
    assert read(chat(said), kind="json") == category


@pytest.mark.parametrize("kind", ["moderation", "llama_guard", "shieldgemma", "json", "http"])
@pytest.mark.parametrize(
    "answer",
    [b"", b"no", b"[]", b"{}", b"null", {"results": []}, {"results": [1]}, {"results": [{"flagged": 1}]}, {"flagged": "yes"},
     {"choices": []}, {"choices": [{"message": {"content": None}}]}, chat("maybe"), chat("I'd say it is safe")],
)  # fmt: skip
def test_what_is_no_verdict_is_none(kind, answer):
    with pytest.raises(NoVerdict):
        read(answer, kind=kind)


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda t: orjson.dumps(chat(t))))
def test_no_answer_raises_anything_else(data):
    for kind in ("moderation", "llama_guard", "shieldgemma", "json", "http"):
        with contextlib.suppress(NoVerdict):
            Form(kind=kind, threshold=0.5).read(data)


def test_a_score_counts_where_a_threshold_is_set():
    assert read({"score": 0.6}, kind="http", threshold=0.5) == "flagged"
    assert read({"score": 0.4, "flagged": True}, kind="http", threshold=0.5) == ""
    with pytest.raises(NoVerdict):
        read({"score": True}, kind="http", threshold=0.5)


def test_a_model_gets_texts_as_data_and_llama_guard_as_turns():
    json = Form(kind="json", model="m", what="cats").body(CASE)
    turns = Form(kind="llama_guard", model="m").body(CASE)["messages"]

    assert orjson.loads(json["messages"][1]["content"])[1] == {"role": "tool", "text": "two"}
    assert "cats" in json["messages"][0]["content"]
    assert turns == [
        {"role": "user", "content": "one\n\ntwo"},
        {"role": "assistant", "content": "three"},
        {"role": "user", "content": "four"},
    ]
    answer = Form(kind="llama_guard", model="m").body(Case("g", (Said("assistant", "x"),)))
    assert [turn["role"] for turn in answer["messages"]] == ["user", "assistant"]


def test_a_text_beyond_all_measure_is_shown_by_its_ends():
    body = Form(kind="moderation").body(Case("g", (Said("user", "a" * MAX_TEXT + "z"),)))

    assert len(body["input"][0]) == MAX_TEXT + 1
    assert body["input"][0].endswith("z")
    assert "model" not in body
