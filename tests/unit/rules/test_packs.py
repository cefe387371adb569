"""What the shipped packs find and leave alone, with figures."""

import pytest

from proxy.compile_guards import shipped_packs
from proxy.config.schema.content import CATEGORIES
from proxy.rules.patterns import Finder
from tests.corpus import attacks, benign
from tests.corpus.evasions import EVASIONS

PACKS = shipped_packs()
INJECTION = Finder(PACKS["injection"])


@pytest.mark.parametrize("name", CATEGORIES)
def test_a_pack_has_the_categories_that_the_schema_knows(name):
    assert tuple(p.category for p in PACKS[name]) == CATEGORIES[name]


@pytest.mark.parametrize(
    "pattern", [p for pack in PACKS.values() for p in pack], ids=lambda p: p.category
)
def test_a_category_finds_its_examples_and_leaves_the_others(pattern):
    finder = Finder([pattern])

    assert [text for text in pattern.match if finder.find(text) != pattern.category] == []
    assert [text for text in pattern.no_match if finder.find(text)] == []
    assert pattern.match
    assert pattern.no_match


def recall(texts):
    return sum(bool(INJECTION.find(text)) for text in texts) / len(texts)


def test_false_alarms_are_at_most_one_in_two_hundred(record_property):
    prompts = benign.prompts()
    found = [prompt for prompt in prompts if INJECTION.find(prompt)]
    record_property("false positives", f"{len(found)} of {len(prompts)}")

    assert len(set(prompts)) == len(prompts) > 700
    assert len(found) / len(prompts) <= 0.005, found


def test_talking_of_injection_is_no_injection():
    assert [prompt for prompt in benign.ABOUT_INJECTION if INJECTION.find(prompt)] == []


def test_recall_on_attacks_is_what_it_was(record_property):
    """Measured: 1.00 on those the patterns were written beside, 0.95 on those
    they were improved by, 0.70 on those written afterwards.
    """
    figures = [recall(attacks.seen()), recall(attacks.LEARNT), recall(attacks.UNSEEN)]
    record_property("recall", figures)

    assert figures[0] == 1.0
    assert figures[1] >= 0.94
    assert figures[2] >= 0.69


@pytest.mark.parametrize("text", attacks.EVADED)
@pytest.mark.parametrize("way", EVASIONS)
def test_every_evasion_is_caught(way, text):
    hidden = EVASIONS[way](text)

    assert INJECTION.find(hidden)
    assert INJECTION.find(f"My question: {hidden} and thank you.")


@pytest.mark.parametrize("way", EVASIONS)
@pytest.mark.parametrize("text", [t for t in benign.SECURITY if '"' not in t][:12])
def test_what_is_harmless_stays_so_in_disguise(way, text):
    assert INJECTION.find(EVASIONS[way](text)) == ""
