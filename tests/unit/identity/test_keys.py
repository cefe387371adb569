"""Which keys of a JWK set are usable, and for what."""

import pytest

from proxy.identity.keys import BadKeys, parse_keys
from tests.provider import jwks, public_jwk

RSA_ALGORITHMS = {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}


@pytest.mark.parametrize(
    ("kind", "algorithms"),
    [
        ("RSA", RSA_ALGORITHMS),
        ("P-256", {"ES256"}),
        ("P-384", {"ES384"}),
        ("P-521", {"ES512"}),
        ("Ed25519", {"EdDSA"}),
    ],
)
def test_a_key_takes_the_algorithms_of_its_type_alone(kind, algorithms):
    keys = parse_keys(jwks(public_jwk(kind)))

    takes = {a for a in RSA_ALGORITHMS | {"ES256", "ES384", "ES512", "EdDSA", "HS256", "none"}
             if keys.find("k1", a)}  # fmt: skip
    assert takes == algorithms


def test_a_key_that_names_its_algorithm_takes_no_other():
    keys = parse_keys(jwks(public_jwk("RSA", alg="PS256")))

    assert keys.find("k1", "PS256")
    assert not keys.find("k1", "RS256")


OCT = {"kty": "oct", "k": "c2VjcmV0", "kid": "k1"}
BROKEN = [
    OCT,
    public_jwk("RSA", use="enc"),
    public_jwk("RSA", key_ops=["encrypt"]),
    public_jwk("RSA", key_ops="verify"),
    public_jwk("RSA", alg="HS256"),
    public_jwk("RSA", alg="RSA-OAEP"),
    public_jwk("RSA", alg=["RS256"]),
    public_jwk("RSA", crv="P-256"),
    public_jwk("RSA", n="!!"),
    public_jwk("RSA", n=None),
    public_jwk("RSA", n=5),
    public_jwk("RSA", n=""),
    public_jwk("RSA", e="AA"),
    public_jwk("RSA-1024"),
    public_jwk("P-256", crv="P-384"),
    public_jwk("P-256", x="AAAA"),
    public_jwk("P-256", y=public_jwk("P-256", number=1)["y"]),
    public_jwk("secp256k1"),
    public_jwk("P-256", crv=None),
    public_jwk("Ed25519", x="AAAA"),
    public_jwk("Ed25519", crv="X25519"),
    public_jwk("RSA", kid=7),
    public_jwk("RSA", kty=["RSA"]),
    {},
    [],
    "RSA",
    None,
]


@pytest.mark.parametrize("member", BROKEN, ids=range(len(BROKEN)))
def test_a_key_that_is_not_for_signatures_is_passed_over(member):
    keys = parse_keys(jwks(member, public_jwk("Ed25519", "good")))

    assert len(keys) == 1
    with pytest.raises(BadKeys):
        parse_keys(jwks(member))


def test_the_secret_half_of_a_key_is_not_taken():
    member = public_jwk("RSA", d="AQAB", p="AQAB", q="AQAB", dp="AQAB", dq="AQAB", qi="AQAB")

    (key,) = parse_keys(jwks(member)).find("k1", "RS256")

    assert not hasattr(key.key, "private_numbers")


def test_keys_of_one_id_are_all_found_and_those_without_only_if_alone():
    two = parse_keys(jwks(public_jwk("RSA", "k"), public_jwk("RSA", "k", 1), public_jwk("P-256")))

    assert len(two.find("k", "RS256")) == 2
    assert len(two.find(None, "ES256")) == 1
    assert two.find(None, "RS256") == ()
    assert two.find("K", "RS256") == ()


@pytest.mark.parametrize(
    "document",
    [b"", b"{", b"[]", b"{}", b'{"keys": {}}', b'{"keys": []}', b"\xff", b"[" * 5000, b"null"],
)
def test_what_is_no_set_is_refused(document):
    with pytest.raises(BadKeys):
        parse_keys(document)


def test_a_set_without_end_is_refused():
    with pytest.raises(BadKeys, match="more than 100"):
        parse_keys(jwks(*[OCT] * 101))
