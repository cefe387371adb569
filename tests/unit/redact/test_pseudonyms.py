"""Pseudonyms and what is remembered of them."""

import re

from hypothesis import given
from hypothesis import strategies as st

from proxy.redact.memory import Conversations
from proxy.redact.pseudonyms import Pseudonyms, TenantKey
from proxy.redact.restore import Restorer, restored

KEY, OTHER = TenantKey(b"k" * 32, "acme"), TenantKey(b"k" * 32, "other")


def test_a_pseudonym_has_the_form_that_survives_json_html_and_urls():
    assert re.fullmatch(r"PII_EMAIL_[a-z2-7]{8}", Pseudonyms(KEY).pseudonym("email", "a@b.co"))
    assert re.fullmatch(r"PII_MY_RULE_1_[a-z2-7]{8}", Pseudonyms(KEY).pseudonym("my-rule 1", "x"))


@given(st.text(min_size=1), st.sampled_from(["email", "phone", "iban", "person"]))
def test_two_tenants_never_share_a_pseudonym(value, kind):
    assert Pseudonyms(KEY).pseudonym(kind, value) != Pseudonyms(OTHER).pseudonym(kind, value)
    assert Pseudonyms(KEY).pseudonym(kind, value) == Pseudonyms(KEY).pseudonym(kind, value)


def test_one_value_written_twice_restores_to_each_as_it_was_written():
    pseudonyms = Pseudonyms(KEY)
    first = pseudonyms.pseudonym("phone", "+49 30 1234")
    second = pseudonyms.pseudonym("phone", "+49-30-1234")

    assert pseudonyms.pseudonym("phone", "+49 30 1234") == first
    assert first != second
    assert restored(pseudonyms, f"{first}|{second}", is_json=False) == "+49 30 1234|+49-30-1234"
    assert Pseudonyms(KEY).pseudonym("phone", "+49-30-1234") == first


def test_only_a_true_beginning_of_a_known_pseudonym_is_held():
    pseudonyms = Pseudonyms(KEY)
    name = pseudonyms.pseudonym("email", "a@b.co")
    restorer = Restorer(pseudonyms, is_json=False)

    assert restorer.feed("P") == ""
    assert restorer.feed("lease") == "Please"
    assert restorer.feed("x PII_PHONE") == "x PII_PHONE"
    assert restorer.feed(name[:-1]) == ""
    assert restorer.held == name[:-1]
    assert restorer.feed(name[-1]) == "a@b.co"
    assert restorer.feed(name[:12] + "!") == name[:12] + "!"


def test_conversations_are_forgotten_when_there_are_too_many():
    memory = Conversations(max_conversations=2, max_chars=100)
    for i in range(3):
        memory.keep("acme", [f"resp_{i}"], {"PII": "x"})

    assert memory.recall("acme", ["resp_0"]) == {}
    assert memory.recall("acme", ["resp_1", "resp_2"]) == {"PII": "x"}
    assert memory.recall("other", ["resp_2"]) == {}
    memory.keep("acme", ["big"], {"PII": "x" * 101})
    assert memory.recall("acme", ["big", "resp_1", "resp_2"]) == {}


def test_what_is_erased_of_a_tenant_is_no_longer_recalled():
    memory = Conversations()
    for tenant in ("acme", "beta"):
        memory.keep(tenant, ("r1", "r2"), {"PII_A": f"of {tenant}"})
    memory.erase("acme")

    assert memory.recall("acme", ("r1", "r2")) == {}
    assert memory.recall("beta", ("r2",)) == {"PII_A": "of beta"}
