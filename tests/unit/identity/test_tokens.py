"""Tokens that are good, and every way in which one may not be."""

from hashlib import sha256

import pytest

from proxy.core.errors import IdentityUnavailable, ProxyError, Unauthenticated
from proxy.core.ports import Identity
from proxy.identity.claims import Expected
from proxy.identity.keys import NO_KEYS, HeldKeys, parse_keys
from proxy.identity.tokens import MAX_KNOWN, MAX_TOKEN, SignedTokens
from tests.kit import FakeClock
from tests.provider import (
    ISSUER,
    NOW,
    forged,
    jwks,
    public_jwk,
    public_pem,
    signed,
    token,
)

KEYS = parse_keys(jwks(public_jwk("RSA"), public_jwk("P-256", "k2"), public_jwk("Ed25519", "k3")))
SECRET = public_pem("RSA")


class Source(HeldKeys):
    """Keys that a test changes; ``next`` comes with the next refresh."""

    def __init__(self, keys=KEYS, later=None):
        super().__init__(keys)
        self.next = later
        self.asked = 0

    async def refresh(self):
        self.asked += 1
        self.keys = self.next or self.keys


def tokens(source=None, clock=None, **expected):
    values = {"issuer": ISSUER, "tenant_claim": "org", "tenants": frozenset({"acme", "beta"}),
              "leeway": 30.0}  # fmt: skip
    return SignedTokens(
        Expected(**values | expected), source or Source(), clock or FakeClock(wall=NOW)
    )


def digest(text):
    return sha256(text.encode("utf-8", "surrogateescape")).digest()


def who(text, **expected):
    return tokens(**expected).verify(text, digest(text))


def refusal(text, **expected):
    with pytest.raises(Unauthenticated) as caught:
        who(text, **expected)
    message = caught.value.message
    assert text not in message
    assert "alice" not in message
    return message


@pytest.mark.parametrize(
    ("kind", "algorithm"),
    [*[("RSA", a) for a in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")],
     ("P-256", "ES256"), ("P-384", "ES384"), ("P-521", "ES512"), ("Ed25519", "EdDSA")],
)  # fmt: skip
def test_a_good_token_names_its_tenant_and_its_subject(kind, algorithm):
    source = Source(parse_keys(jwks(public_jwk(kind))))
    text = token(kind, algorithm)

    assert tokens(source).verify(text, digest(text)) == Identity("acme", "alice")


def test_a_single_key_needs_no_id():
    text = token(kid=None)
    named, nameless = (Source(parse_keys(jwks(public_jwk("RSA", kid)))) for kid in ("k9", None))

    assert tokens(named).verify(text, digest(text)) == Identity("acme", "alice")
    assert tokens(nameless).verify(text, digest(text)) == Identity("acme", "alice")


@pytest.mark.parametrize("number", [0, 1])
def test_of_two_keys_with_one_id_either_may_have_signed(number):
    source = Source(parse_keys(jwks(public_jwk("RSA"), public_jwk("RSA", number=1))))
    text = token(number=number)

    assert tokens(source).verify(text, digest(text)) == Identity("acme", "alice")


ATTACKS = {
    "alg none": (forged({"alg": "none", "kid": "k1"}), "algorithm"),
    "alg None": (forged({"alg": "None", "kid": "k1"}), "algorithm"),
    "alg missing": (forged({"kid": "k1"}), "algorithm"),
    "alg a list": (forged({"alg": ["RS256"], "kid": "k1"}), "algorithm"),
    "signature left off": (token().rpartition(".")[0] + ".", "signature"),
    "HS256 with the public PEM": (forged({"alg": "HS256", "kid": "k1"}, secret=SECRET), "algorithm"),
    "RS256 in name, HMAC in fact": (forged({"alg": "RS256", "kid": "k1"}, secret=SECRET), "signature"),
    "ES256 under an RSA key's id": (token("P-256", "ES256"), "kind"),
    "EdDSA under an EC key's id": (token("Ed25519", "EdDSA", kid="k2"), "kind"),
    "ES384 under a P-256 key's id": (token("P-384", "ES384", kid="k2"), "kind"),
    "ES256K": (token("secp256k1", "ES256K", kid="k2"), "algorithm"),
    "another's key under a known id": (token(number=1), "signature"),
    "another's key by its URL": (token(number=1, headers={"jku": "https://evil.example/jwks"}), "signature"),
    "another's certificate": (token(number=1, headers={"x5u": "https://evil.example/c", "x5c": ["AA"]}), "signature"),
    "another's key embedded": (token(number=1, headers={"jwk": public_jwk("RSA", number=1)}), "signature"),
    "no id and no signature": (forged({"alg": "RS384"}), "signature"),
    "id a number": (forged({"alg": "RS256", "kid": 1}), "malformed"),
    "id a list": (forged({"alg": "RS256", "kid": ["k1"]}), "malformed"),
    "two ids, the second unsigned for": (
        forged(b'{"alg":"RS256","kid":"k2","kid":"k1"}', secret=SECRET), "signature"),
    "critical extension": (token(headers={"crit": ["b64"], "b64": True}), "malformed"),
    "payload detached": (forged({"alg": "RS256", "kid": "k1", "b64": False}), "malformed"),
    "header a list": (forged([]), "malformed"),
    "header not JSON": (forged(b"RS256"), "malformed"),
    "header nested": (forged(b"[" * 3000), "malformed"),
    "header not base64": ("a.b.c", "malformed"),
    "padding": (token() + "=", "malformed"),
    "four parts": (token() + ".AAAA", "malformed"),
    "one part": ("sk-key", "malformed"),
    "nothing": ("..", "malformed"),
    "beyond ASCII": ("é.é.é", "malformed"),
    "surrogates": ("\udcff.\udcff.\udcff", "malformed"),
    "huge": (token(padding="x" * MAX_TOKEN), "longer"),
    "wrong issuer": (token(iss="https://evil.example/"), "issuer"),
    "issuer a list": (token(iss=[ISSUER]), "issuer"),
    "no issuer": (token(iss=None), "issuer"),
    "issuer with another slash": (token(iss=ISSUER.rstrip("/")), "issuer"),
    "expired": (token(exp=NOW - 30), "expired"),
    "no end": (token(exp=None), "never expires"),
    "end a text": (token(exp="2099"), "not a time"),
    "end true": (token(exp=True), "not a time"),
    "not yet": (token(nbf=NOW + 31), "not valid yet"),
    "issued in the future": (token(iat=NOW + 31), "future"),
    "no tenant": (token(org=None), "names no tenant"),
    "tenant a list": (token(org=["acme"]), "names no tenant"),
    "tenant empty": (token(org=""), "names no tenant"),
    "tenant unknown": (token(org="evil"), "does not have"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "why"), ATTACKS.values(), ids=ATTACKS)
def test_an_attack_is_refused_with_its_reason(text, why):
    assert why in refusal(text)


def test_claims_that_are_no_object_are_refused():
    for claims in (b"[]", b"1", b"{", b"\xff", b'"acme"'):
        assert "malformed" in refusal(signed(claims))


@pytest.mark.parametrize(
    "kid",
    ["../../dev/null", "/etc/passwd", "k1\0", "' OR 1=1 --", "K1", "k1 ", "http://evil/k", ""],
)
def test_a_key_id_is_only_ever_looked_up(kid):
    text = token(kid=kid)

    assert who(text) is None


async def test_an_unknown_key_id_is_refused_after_newer_keys_were_asked_for():
    source = Source()
    text = token(kid="new")
    checked = tokens(source)

    with pytest.raises(Unauthenticated, match="key id") as caught:
        await checked.fetch(text, digest(text))
    assert "new" not in caught.value.message.split()
    source.next = parse_keys(jwks(public_jwk("RSA", "new")))

    assert await checked.fetch(text, digest(text)) == Identity("acme", "alice")
    assert source.asked == 2


async def test_without_any_key_it_is_not_the_clients_fault():
    text = token()

    with pytest.raises(IdentityUnavailable) as caught:
        await tokens(Source(NO_KEYS)).fetch(text, digest(text))
    assert caught.value.status == 503


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"exp": NOW - 29}, {}),
        ({"exp": NOW + 0.5}, {"leeway": 0.0}),
        ({"nbf": NOW + 30, "iat": NOW + 30}, {}),
        ({"iat": None, "nbf": None}, {}),
        ({"aud": "other"}, {}),
        ({"aud": "us"}, {"audience": "us"}),
        ({"aud": ["other", "us"]}, {"audience": "us"}),
        ({"org": {"unit": {"name": "acme"}}}, {"tenant_claim": "org.unit.name"}),
        ({"https://x.example/org": "acme"}, {"tenant_claim": "https://x.example/org"}),
        ({"org.name": "acme", "org": {"name": "beta"}}, {"tenant_claim": "org.name"}),
    ],
)
def test_what_a_good_token_may_say(claims, expected):
    assert who(token(**claims), **expected) == Identity("acme", "alice")


@pytest.mark.parametrize("aud", [None, "other", [], ["usx"], "us ", {"us": 1}, 5])
def test_another_audience_is_refused(aud):
    assert "audience" in refusal(token(aud=aud), audience="us")


@pytest.mark.parametrize("org", ["acme", {"unit": "acme"}, {"unit": {"name": 1}}, [{"unit": 1}]])
def test_a_path_to_a_tenant_that_leads_nowhere_is_refused(org):
    assert "names no tenant" in refusal(token(org=org), tenant_claim="org.unit.name")


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({}, set()),
        ({"scope": "llm:chat openid"}, {"llm:chat"}),
        ({"scp": ["llm:embed", "x"]}, {"llm:embed"}),
        ({"scp": "llm:chat llm:embed"}, {"llm:chat", "llm:embed"}),
        ({"scopes": ["llm:chat"]}, {"llm:chat"}),
        ({"scope": "llm:chatter"}, set()),
        ({"scope": 5, "scp": {"llm:chat": 1}, "scopes": [["llm:chat"], None]}, set()),
    ],
)
def test_scopes_are_read_as_providers_write_them(claims, scopes):
    known = frozenset({"llm:chat", "llm:embed"})

    assert who(token(**claims), scopes=known).scopes == scopes


@pytest.mark.parametrize(("sub", "subject"), [("u1", "u1"), (None, ""), (7, ""), (["u"], "")])
def test_a_subject_is_a_text(sub, subject):
    assert who(token(sub=sub)).subject == subject


def test_a_token_that_was_good_ends_all_the_same():
    clock = FakeClock(wall=NOW)
    checked = tokens(clock=clock)
    text = token(exp=NOW + 10)
    assert checked.verify(text, digest(text)) is not None
    clock.advance(39)
    assert checked.verify(text, digest(text)) is not None
    clock.advance(1)

    for _ in range(2):
        with pytest.raises(Unauthenticated, match="expired"):
            checked.verify(text, digest(text))
    assert checked._known == {}


def test_a_key_that_is_withdrawn_takes_its_tokens_with_it():
    source = Source()
    checked = tokens(source)
    text = token()
    assert checked.verify(text, digest(text)) is not None
    source.keys = parse_keys(jwks(public_jwk("RSA", "k7", 1)))

    assert checked.verify(text, digest(text)) is None


def test_what_is_remembered_is_bounded_and_the_idle_goes_first():
    source = Source(parse_keys(jwks(public_jwk("Ed25519"))))
    checked = tokens(source)
    text = token("Ed25519", "EdDSA")
    for number in range(MAX_KNOWN + 10):
        checked.verify(text, number.to_bytes(32, "big"))
        checked.verify(text, bytes(32))

    assert len(checked._known) == MAX_KNOWN
    assert bytes(32) in checked._known
    assert (1).to_bytes(32, "big") not in checked._known


def test_a_refused_token_is_not_remembered():
    checked = tokens()
    for text, _ in ATTACKS.values():
        with pytest.raises(ProxyError):
            checked.verify(text, digest(text))

    assert checked._known == {}
