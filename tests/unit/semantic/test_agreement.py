"""Which answers say the same: none of those that contradict, and most of those that do not."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.meanings import LEXICON
from proxy.semantic.agreement import FAR, MAX_LENGTH, agree, compare, cosine, same_words
from proxy.semantic.lexicon import Lexicon
from tests.corpus.answers import CONTRADICT as LONG_CONTRADICT
from tests.corpus.answers import DETAIL, OTHER, SAME, TURNED
from tests.meaning import vector_of

KNOWN = Lexicon(Path(LEXICON).read_bytes())

CONTRADICT = [
    ("The capital of Australia is Canberra.", "The capital of Australia is Sydney."),
    (
        "It is safe to take ibuprofen together with alcohol.",
        "It is not safe to take ibuprofen together with alcohol.",
    ),
    ("You should never mix bleach with ammonia.", "You should mix bleach with ammonia."),
    (
        "The flag -d refuses to delete a branch that is not merged.",
        "The flag -D deletes a branch even if it is not merged.",
    ),
    ("Add the acid to the water slowly.", "Add the water to the acid slowly."),
    (
        "A landlord can sue a tenant for unpaid rent.",
        "A tenant can sue a landlord for unpaid rent.",
    ),
    ("The result is -5.", "The result is 5."),
    ("The answer is x < y.", "The answer is x > y."),
    ("The answer is 0.5 mg.", "The answer is .5 mg."),
    ("The derivative is -sin(x).", "The derivative is sin(x)."),
    ("The tip is $5.", "The tip is €5."),
    ("Mozart was born in Salzburg.", "Mozart was born in Vienna."),
    ("Ridley Scott directed it.", "James Cameron directed it."),
    (
        "The president of the People's Republic of China is Xi Jinping.",
        "The president of the Republic of China is Lai Ching-te.",
    ),
    ("The flight goes from Rome to Oslo.", "The flight goes from Oslo to Rome."),
    ("The maximum dose is 500 mg.", "There is no known maximum dose; it is 500 mg or 4000 mg."),
    ("Konnichiwa is how you say hello in Japanese.", "Arigato is how you say thanks in Japanese."),
    ("The company sued its supplier.", "The company was sued by its supplier."),
    ("The contract is valid.", "The contract is invalid."),
    ("The mushroom is edible.", "The mushroom is poisonous."),
    ("Increase the dose if symptoms persist.", "Decrease the dose if symptoms persist."),
    ("Dogs can eat grapes.", "Dogs cannot eat grapes."),
    ("Turn the valve to the left to open it.", "Turn the valve to the right to open it."),
    ("Python lists are mutable.", "Python tuples are immutable."),
    ("The meeting is on Monday.", "The meeting is on Friday."),
    ("O negative blood can be given to anyone.", "O positive blood can be given to anyone."),
    ("The bond is taxable.", "The bond is tax free."),
    ("Brutus killed Caesar.", "Caesar killed Brutus."),
    ("The word has three letters.", "The word has four letters."),
    ("He is thirty years old.", "He is forty years old."),
]
FAIR = [
    ("The capital of France is Paris.", "Paris is the capital of France."),
    ("It's 42.", "It is 42."),
    ("Paris", "It is Paris."),
    ("You can't return it after 30 days.", "You cannot return it after 30 days."),
    ("The Eiffel Tower is big.", "The Eiffel Tower is large."),
    ("Water boils at 100 °C.", "Water boils at 100 °C"),
    ("**Paris**", "Paris."),
    ("Yes, you can.", "Yes — you can!"),
    ("Open Settings and click the Reset button.", "Open Settings, then click the Reset button."),
    ("- Milk\n- Eggs\n- Flour", "Milk, eggs, flour"),
    ("The war ended in 1945.", "War ended in 1945."),
    (
        "The author of Hamlet is William Shakespeare.",
        "William Shakespeare is the author of Hamlet.",
    ),
    ("The store opens at 9 a.m.", "The shop opens at 9 a.m."),
    ("It begins on Monday.", "It starts on Monday."),
    ("Use the `git stash` command.", "Use the git stash command."),
    ("It doesn't support Windows.", "It does not support Windows."),
    ("There are seven continents.", "There are 7 continents."),
    ("Gold's chemical symbol is Au.", "The chemical symbol of gold is Au."),
    ("Paris is the capital of France.", "The capital city of France is Paris."),
    ("Mix the flour with water.", "Mix flour with the water."),
    ("The answer is 3.14.", "3.14"),
    ("Shakespeare wrote Hamlet.", "Hamlet was written by Shakespeare."),
    ("You'll need a passport.", "You will need a passport."),
    ("It takes approximately 2 hours.", "It takes about 2 hours."),
    ("Light travels at 299,792 km/s.", "Light travels at 299,792 km/s"),
    ("Mount Everest is the highest mountain.", "The highest mountain is Mount Everest."),
    ("Purchase a ticket online.", "Buy a ticket online."),
    (
        "Jupiter is the largest planet in the solar system.",
        "The largest planet in the solar system is Jupiter.",
    ),
    ("He was born in 1879 in Ulm.", "He was born in Ulm in 1879."),
    ("Quantum computers use qubits.", "A quantum computer uses qubits."),
]


@pytest.mark.parametrize("lexicon", [None, KNOWN], ids=["bare", "lexicon"])
@pytest.mark.parametrize(("one", "other"), CONTRADICT)
def test_answers_that_contradict_do_not_agree_however_near(one, other, lexicon):
    assert not agree(one, other, 1.0, lexicon)
    assert not agree(other, one, 1.0, lexicon)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("-(1+2)", "(1+2)"), ("(a+b)*c", "a+b*c"), ("use __init__", "use init"), ("x²", "x2"),
        ("ls -a", "ls -A"), ("n!", "n"), ("x-y", "x y"), ("5-10", "5 10"), ("US", "us"),
        ("5 %", "5"), ("1.5", "15"), ("a few left", "few left"), ("10°", "10"), ("½", "2"),
        ("Vitamin A helps.", "Vitamin helps."), ("2^3", "2*3"), ("👍", "👎"), ("5 € a day", "5 a day"),
        ("Yes.", "Certainly you may."), ("It is 42.", "It is 43."), ("Yes, do.", "No, do not."),
        ("Das ist gültig.", "Das ist ungültig."), ("Es ist sicher.", "Es ist nicht sicher."),
        ("C'est permis.", "Ce n'est pas permis."), ("Es seguro.", "No es seguro."),
        ("可以。", "不可以。"), ("この薬は安全です", "この薬は安全ですか"), ("You must not go.", "You need not go."),
        ("Caesar was killed.", "Caesar killed."), ("He is here.", "He was here."),
        ("Polish it.", "It is Polish."),
        ("It is not only cheap.", "It is only not cheap."), ("x = 5", "x ≠ 5"), ("a & b", "a | b"),
        ("He died.", "He dies."), ("Turn left.", "Turn, leave."), ("He is bored.", "He is boring."),
        ("It kills everyone.", "It kills everything."), ("The killing plant.", "The killed plant."),
        ("It is the best.", "It is good."), ("It is 5 mg.", "It is 5 g."), ("5 °C", "5 °F"),
        ("It is 5' wide.", 'It is 5" wide.'), ("5'6\"", "5 6"),
    ],
)  # fmt: skip
def test_what_turns_an_answer_sets_it_apart(one, other):
    assert not agree(one, other, 1.0, KNOWN)


def test_most_answers_in_other_words_agree():
    assert sum(agree(one, other, 1.0) for one, other in FAIR) >= 19
    assert sum(agree(one, other, 1.0, KNOWN) for one, other in FAIR) >= 25


def test_other_words_must_also_be_near():
    assert not agree("It doesn't fit.", "It does not fit.", 0.89)
    assert agree("It is 42.", "it is 42", 0.0)


@pytest.mark.parametrize(
    ("one", "other"),
    [("Paris", "paris!"), ("**42**", "42."), ("x=5", "x = 5"), ("well-known", "well known"),
     ("- a\n- b", "a, b"), ("“No”", "no"), ("5 %", "5%"), ("可以。", "可以")],
)  # fmt: skip
def test_space_punctuation_and_emphasis_are_no_words(one, other):
    assert same_words(one, other)


def test_a_long_answer_agrees_with_the_same_words_alone():
    text = "It doesn't fit. " * (MAX_LENGTH // 15)

    assert agree(text, text.upper().lower().capitalize(), 1.0)
    assert not agree(text, text.replace("doesn't", "does not"), 1.0)


@pytest.mark.parametrize("near", [FAR, 0.8, 1.0])
def test_of_long_answers_in_other_words_nobody_can_tell(near):
    for one, other in [*SAME, *TURNED]:
        assert compare(one, other, near, KNOWN) is None
        assert compare(other, one, near, KNOWN) is None


def test_long_answers_in_the_same_words_but_for_one_are_told_apart():
    for one, other in DETAIL:
        assert compare(one, other, 1.0, KNOWN) is False
        assert compare(other, one, 1.0, KNOWN) is False


def test_there_are_as_many_long_answers_of_either_kind():
    assert len(SAME) == len(LONG_CONTRADICT) == 20
    assert all(one != other for one, other in (*SAME, *LONG_CONTRADICT))


def test_answers_about_other_things_differ_however_long():
    for one, other in OTHER:
        assert compare(one, other, FAR - 0.01, KNOWN) is False
        assert compare(one * 9, other * 9, FAR - 0.01, KNOWN) is False
    assert compare("a " * 9000, "b " * 9000, 1.0) is None


def test_an_answer_that_begins_with_yes_is_not_one_that_begins_with_no():
    one, other = next(pair for pair in SAME if pair[0].startswith("Yes"))

    assert compare(one, other.replace("Yes", "No", 1), 1.0, KNOWN) is False
    assert compare(one, other.replace("Yes, the", "The", 1), 1.0, KNOWN) is None


@pytest.mark.parametrize("lexicon", [None, KNOWN], ids=["bare", "lexicon"])
def test_of_short_answers_it_can_mostly_be_told(lexicon):
    for one, other in FAIR:
        assert compare(one, other, 1.0, lexicon) is agree(one, other, 1.0, lexicon)
    told = [compare(one, other, 1.0, lexicon) for one, other in CONTRADICT]
    assert told.count(False) >= 28
    assert True not in told


@pytest.mark.parametrize(
    "part", ["a ", "-", "(", "*", "1.", "$", "é'", " -", "\n* ", "!", "_", "A"]
)
def test_no_text_takes_long(part):
    text = part * (10_000 // len(part))
    began = time.thread_time()

    same_words(text, text[:-1] + "x")
    agree(text[:1900], text[:1899] + "x", 1.0, KNOWN)
    compare(text, text[:-1] + "x", 1.0, KNOWN)

    assert time.thread_time() - began < 1.0


@given(st.text(), st.text())
def test_agreement_is_mutual_and_of_everything_with_itself(one, other):
    assert agree(one, one, 0.0)
    assert agree(one, other, 1.0, KNOWN) == agree(other, one, 1.0, KNOWN)
    assert compare(one, other, 1.0, KNOWN) == compare(other, one, 1.0, KNOWN)


def test_cosine_of_a_vector_with_itself_is_one():
    assert abs(cosine(vector_of("a cat"), vector_of("cat")) - 1) < 1e-6
    assert cosine(vector_of("cat"), vector_of("tax law")) < 0.5


def test_vectors_of_different_lengths_are_not_near():
    assert cosine(vector_of("cat"), vector_of("cat")[:-4]) == 0.0
    assert cosine(b"", vector_of("cat")) == 0.0
