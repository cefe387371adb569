"""What a question is, and what it is asked in."""

import pytest

from proxy.wire.questions import question_of

CHAT = {"model": "m", "temperature": 0}


def chat(*turns, **more):
    return {**CHAT, "messages": list(turns), **more}


def user(content, **more):
    return {"role": "user", "content": content, **more}


SYSTEM = {"role": "system", "content": "Be brief."}


def test_the_last_turn_is_the_question_and_all_else_its_frame():
    found = question_of("chat", chat(SYSTEM, user("Why?")))

    assert found.text == "Why?"
    assert found.rest == chat(SYSTEM, {"role": "user"})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (chat(user("a")), chat(user([{"type": "text", "text": "b"}]))),
        (chat(SYSTEM, user("a", name="x")), chat(SYSTEM, user("b", name="x"))),
    ],
)
def test_only_the_words_of_the_last_turn_are_left_out(one, other):
    assert question_of("chat", one).rest == question_of("chat", other).rest


@pytest.mark.parametrize(
    "other",
    [
        chat(user("a"), temperature=1),
        chat(SYSTEM, user("a")),
        chat(user("a", name="x")),
        chat({"role": "user", "content": "b"}, user("a")),
    ],
)
def test_anything_else_makes_another_frame(other):
    assert question_of("chat", other).rest != question_of("chat", chat(user("a"))).rest


@pytest.mark.parametrize(
    "body",
    [
        chat(user("a"), tools=[{"type": "function"}]),
        chat(user("a"), functions=[{}]),
        chat(user("a"), {"role": "assistant", "content": "b"}),
        chat(user("a"), {"role": "tool", "content": "b"}),
        chat(user([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])),
        chat(user([{"type": "image_url", "image_url": {"url": "data:,"}}])),
        chat(user([{"type": "text", "text": "a", "cache_control": {}}])),
        chat(user([{"type": "text", "text": 1}])),
        chat(user(None)),
        chat(user("  ")),
        chat(user("word " * 120)),
        chat(user("字" * 200)),
        chat(user("What is it?\U000e0041\U000e0042")),
        chat(user("What\u200b is it?")),
        chat(user("What \u2066is\u2069 it?")),
        chat(user("What is it?\ue000")),
        chat(user("What is it?\ufe01\U000e0101")),
        chat(user("What is\u3164 it?")),
        chat(user("What is\x00 it?")),
        chat("user"),
        chat(),
        {**CHAT, "messages": "hello"},
        CHAT,
    ],
)
def test_what_is_not_a_question_of_words_alone_is_none(body):
    assert question_of("chat", body) is None


def test_emoji_and_letters_of_all_scripts_are_seen():
    for text in ("I \u2764\ufe0f it?\n", "\u5b57?", "\u0646\u0639\u0645\u061f", "nai\u0308ve"):
        assert question_of("chat", chat(user(text))) is not None


def test_a_type_is_form_in_responses_only():
    typed = question_of("chat", chat(user("a", type="x")))

    assert typed.rest != question_of("chat", chat(user("a"))).rest
    assert (
        question_of("responses", {"input": [user("a", type="other")]}).rest
        != question_of("responses", {"input": "a"}).rest
    )


def test_input_of_responses_is_a_text_or_turns():
    text = question_of("responses", {"input": "Why?"})
    turn = question_of("responses", {"input": [user([{"type": "input_text", "text": "Why?"}])]})
    typed = question_of("responses", {"input": [{"type": "message", **user("Why?")}]})

    assert text == turn == typed
    assert text.text == "Why?"


def test_completions_and_embeddings_ask_nothing():
    assert question_of("completions", {"prompt": "Why?", "input": "Why?"}) is None
    assert question_of("embeddings", {"input": "Why?"}) is None
