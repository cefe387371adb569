"""What holds of any two texts, and of questions with one thing changed."""

import re

from hypothesis import given
from hypothesis import strategies as st

from tests.semantic.measure import guard, pairs

JUDGE = guard()
QUESTIONS = [pair[side] for pair in pairs() for side in "ab"]
WORDS = sorted({word for question in QUESTIONS for word in question.split()})

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=120)
questions = st.one_of(
    st.sampled_from(QUESTIONS),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=20).map(" ".join),
)
either = st.one_of(texts, questions)


@given(either, either, st.booleans())
def test_both_ways_agree(one, other, is_lenient):
    there = JUDGE.why_different(one, other, is_lenient=is_lenient)
    back = JUDGE.why_different(other, one, is_lenient=is_lenient)

    assert bool(there) == bool(back)


@given(either, either)
def test_lenience_only_forgives(one, other):
    assert not (
        JUDGE.why_different(one, other, is_lenient=True) and not JUDGE.why_different(one, other)
    )


@given(either)
def test_a_text_is_like_itself(text):
    assert not JUDGE.why_different(text, text)
    assert not JUDGE.why_different(text, f"  {text} ")


@given(questions, st.integers(0, 9), st.integers(0, 20), st.data())
def test_another_digit_is_another_question(question, digit, at, data):
    words = question.split()
    words.insert(min(at, len(words)), str(data.draw(st.integers(0, 2000))))
    one = " ".join(words)
    place = data.draw(st.sampled_from([m.start() for m in re.finditer("[0-9]", one)]))
    other = f"{one[:place]}{digit}{one[place + 1 :]}"

    assert bool(JUDGE.why_different(one, other)) == (one != other)


@given(questions, st.integers(0, 20))
def test_a_not_makes_another_question(question, at):
    words = question.split()
    at = min(at, len(words) - 1)
    negated = " ".join([*words[:at], "not", *words[at:]])

    assert JUDGE.why_different(question, negated)


@given(st.sampled_from([q for q in QUESTIONS if not re.search("[\"'`:\\n]", q)]))
def test_spaces_do_not_matter(question):
    assert not JUDGE.why_different(question, "  ".join(question.split()))


@given(st.sampled_from(QUESTIONS))
def test_case_of_letters_can_only_set_apart_where_there_are_capitals(question):
    lower = question.lower()

    assert not JUDGE.why_different(lower, lower[:1].upper() + lower[1:])


@given(questions, st.sampled_from("\u200b\u202e\ue000\U000e0041\ufe0f\x07\xad"), st.integers(0, 40))
def test_what_cannot_be_seen_sets_apart(question, unseen, at):
    assert JUDGE.why_different(question, question[:at] + unseen + question[at:])
