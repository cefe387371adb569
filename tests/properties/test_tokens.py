"""No change to a good token leaves it good."""

from contextlib import suppress
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import Unauthenticated
from proxy.core.ports import Identity
from proxy.identity.claims import Expected
from proxy.identity.keys import BadKeys, HeldKeys, parse_keys
from proxy.identity.tokens import SignedTokens
from tests.kit import FakeClock
from tests.provider import ISSUER, NOW, forged, jwks, public_jwk, token

KINDS = {"RSA": "RS256", "P-256": "ES256", "P-521": "ES512", "Ed25519": "EdDSA"}
KEYS = parse_keys(jwks(*(public_jwk(kind, kind) for kind in KINDS)))
GOOD = [token(kind, algorithm, kid=kind) for kind, algorithm in KINDS.items()]


def verify(text):
    """Whom a text speaks for; nothing if it is refused or names no key here."""
    expected = Expected(issuer=ISSUER, tenant_claim="org", tenants=frozenset({"acme"}))
    tokens = SignedTokens(expected, HeldKeys(KEYS), FakeClock(wall=NOW))
    try:
        return tokens.verify(text, sha256(text.encode("utf-8", "surrogatepass")).digest())
    except Unauthenticated:
        return None


@pytest.mark.parametrize("text", GOOD, ids=KINDS)
def test_the_token_itself_is_good(text):
    assert verify(text) == Identity("acme", "alice")


@given(st.data())
def test_a_character_put_taken_or_changed_spoils_it(data):
    text = data.draw(st.sampled_from(GOOD))
    at = data.draw(st.integers(0, len(text)))
    taken = data.draw(st.integers(0, 3))
    put = data.draw(st.text("ABCDEFabcdef0189-_.=+/ \n\0é", max_size=3) | st.text(max_size=2))
    changed = text[:at] + put + text[at + taken :]

    if changed != text:
        assert verify(changed) is None


@pytest.mark.parametrize("text", GOOD, ids=KINDS)
def test_no_last_character_of_a_part_can_be_another(text):
    """Base64 leaves bits over there, which a lenient reader lets be anything."""
    ends = [i - 1 for i in (text.index("."), text.rindex("."), len(text))]
    for at in ends:
        for put in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_":
            changed = text[:at] + put + text[at + 1 :]
            assert (verify(changed) is None) is (changed != text)


@given(st.sampled_from(GOOD), st.sampled_from(GOOD), st.permutations(range(3)))
def test_parts_of_two_tokens_make_no_third(one, other, order):
    parts = [one.split(".")[i] for i in order]
    for i in range(3):
        mixed = [*parts]
        mixed[i] = other.split(".")[i]
        text = ".".join(mixed)
        assert text in GOOD or verify(text) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
NAMES = st.sampled_from(["alg", "kid", "typ", "crit", "jwk", "jku", "b64", "cty", "zip"])


@given(st.dictionaries(NAMES, JSON | st.sampled_from([*KINDS, *KINDS.values(), "none"])))
def test_whatever_an_unsigned_header_says_it_is_refused(header):
    assert verify(forged(header)) is None
    assert verify(forged(header, secret=b"")) is None


@given(st.text(max_size=200))
def test_no_text_is_a_token(text):
    assert verify(text) is None


MEMBERS = st.sampled_from(["kty", "crv", "n", "e", "x", "y", "kid", "use", "key_ops", "alg"])


@given(st.sampled_from(list(KINDS)), st.dictionaries(MEMBERS, JSON, max_size=3))
def test_no_key_set_raises_anything_but_its_own_error(kind, changes):
    with suppress(BadKeys):
        assert len(parse_keys(jwks({**public_jwk(kind), **changes}))) == 1
