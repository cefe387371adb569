"""Keys first, then tokens, then the anonymous tenant if there is one."""

from hashlib import sha256

import pytest

from proxy.core.errors import PathNotAllowed, Unauthenticated
from proxy.core.ports import Identity
from proxy.policies.authenticate import ApiKey, AuthenticatePolicy, Caller, CrossSite, Issuer
from tests.kit import FakeClock, exchange

JWT = "aGVhZA.Ym9keQ.c2ln"


class FakeTokens:
    """Answers with what it was given, at once or when it is asked again."""

    def __init__(self, answer=None, later=None):
        self.answer, self.later, self.calls = answer, later, []

    def verify(self, token, digest):
        self.calls.append(f"verify {token}")
        assert digest == sha256(token.encode()).digest()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def fetch(self, token, digest):
        self.calls.append(f"fetch {token}")
        if isinstance(self.later, Exception):
            raise self.later
        return self.later


def policy(tokens=None, *, anonymous=None, scopes=None, origins=frozenset()):
    callers = {
        "acme": Caller("acme", lambda x: "/files" not in x.path, {"team": "a"}),
        "all": Caller("all", lambda _: True),
    }
    keys = (ApiKey("acme", sha256(JWT.encode() + b"-key").digest(), "one"),)
    issuer = Issuer(tokens, scopes or {}) if tokens is not None else None
    return AuthenticatePolicy(callers, keys, anonymous, FakeClock(), issuer, origins)


async def run(made, secret, **more):
    x = exchange(headers={"authorization": f"Bearer {secret}"} if secret else {}, **more)
    await made.on_request(x)
    return x


async def test_a_key_is_a_key_whatever_it_looks_like():
    tokens = FakeTokens()
    x = await run(policy(tokens), JWT + "-key")

    assert (x.tenant, x.key_name, x.subject, tokens.calls) == ("acme", "one", "", [])


async def test_a_good_token_names_tenant_and_subject_without_waiting():
    tokens = FakeTokens(Identity("acme", "alice"))
    x = await run(policy(tokens), JWT)

    assert (x.tenant, x.key_name, x.subject, x.tags) == ("acme", "jwt", "alice", {"team": "a"})
    assert tokens.calls == [f"verify {JWT}"]


async def test_a_token_of_a_key_not_at_hand_waits_for_newer_keys():
    tokens = FakeTokens(None, Identity("acme"))
    x = await run(policy(tokens), JWT)

    assert x.tenant == "acme"
    assert tokens.calls == [f"verify {JWT}", f"fetch {JWT}"]


@pytest.mark.parametrize("anonymous", [None, "all"])
@pytest.mark.parametrize("secret", [JWT, "aGVhZA.Ym9keQ.", JWT + "=", "a.b.c"])
async def test_a_token_that_is_not_good_is_refused_even_where_anyone_is_served(anonymous, secret):
    for tokens in (
        FakeTokens(Unauthenticated("the token has expired")),
        FakeTokens(None, Unauthenticated("the token has expired")),
    ):
        with pytest.raises(Unauthenticated, match="expired"):
            await run(policy(tokens, anonymous=anonymous), secret)


@pytest.mark.parametrize(
    "secret", ["sk-from-openai", "a.b", "a.b.c.d", "a b.c.d", "a/b.c.d", "..", ""]
)
async def test_what_has_not_the_form_of_a_token_is_not_checked_as_one(secret):
    tokens = FakeTokens()
    x = await run(policy(tokens, anonymous="all"), secret)

    assert (x.tenant, tokens.calls) == ("all", [])


async def test_without_a_provider_a_token_is_a_key_like_any_other():
    assert (await run(policy(anonymous="all"), JWT)).tenant == "all"
    with pytest.raises(Unauthenticated, match="not one of this proxy's"):
        await run(policy(), JWT)


SCOPES = {
    "chat": lambda x: x.path == "/v1/chat/completions",
    "all": lambda _: True,
}


@pytest.mark.parametrize(
    ("scopes", "path", "is_allowed"),
    [
        ({"chat"}, "/v1/chat/completions", True),
        ({"chat"}, "/v1/embeddings", False),
        ({"chat", "all"}, "/v1/embeddings", True),
        (set(), "/v1/chat/completions", False),
        ({"all"}, "/v1/files", False),
    ],
)
async def test_a_path_needs_a_scope_and_the_tenants_leave(scopes, path, is_allowed):
    made = policy(FakeTokens(Identity("acme", "", frozenset(scopes))), scopes=SCOPES)
    if is_allowed:
        assert (await run(made, JWT, path=path)).tenant == "acme"
    else:
        with pytest.raises(PathNotAllowed):
            await run(made, JWT, path=path)


async def test_scopes_do_not_bind_who_has_a_key():
    x = await run(policy(FakeTokens(), scopes={"chat": lambda _: False}), JWT + "-key")

    assert x.tenant == "acme"


EVIL = {"origin": "https://evil.example", "sec-fetch-site": "cross-site", "host": "localhost:8400"}
SOCKET = {"upgrade": "websocket"}


@pytest.mark.parametrize(
    ("method", "more"),
    [
        ("POST", {"content-type": "text/plain;charset=UTF-8"}),
        ("POST", {"content-type": "Multipart/Form-Data; boundary=x"}),
        ("POST", {"content-type": "application/x-www-form-urlencoded"}),
        ("POST", {}),
        ("POST", {"content-type": "text/ping"}),
        ("POST", {"content-type": "application/csp-report"}),
        ("POST", {"content-type": "text/plain", "authorization": "Basic eDp5"}),
        ("POST", {"origin": "null"}),
        ("POST", {"sec-fetch-site": "same-site", "origin": "http://localhost:3000"}),
        ("GET", SOCKET),
        ("GET", {**SOCKET, "sec-websocket-protocol": "openai-insecure-api-key.any"}),
    ],
)
async def test_a_page_of_another_site_is_not_the_anonymous_tenant(method, more):
    for dropped in ("", "origin", "sec-fetch-site"):
        headers = {k: v for k, v in {**EVIL, **more}.items() if k != dropped}
        with pytest.raises(CrossSite) as refused:
            await policy(anonymous="all").on_request(exchange(method=method, headers=headers))

    assert (refused.value.status, refused.value.code) == (403, "cross_site_request")


@pytest.mark.parametrize("host", ["evil.example:8400", "localhost.evil.example", "127.0.0.1.a.b"])
@pytest.mark.parametrize(("method", "more"), [("POST", {}), ("DELETE", {}), ("GET", SOCKET)])
async def test_a_page_whose_name_was_made_to_lead_here_is_not_the_anonymous_tenant(
    host, method, more
):
    """To the browser it is the same site, so nothing was asked about."""
    own = {"origin": f"http://{host}", "host": host, "sec-fetch-site": "same-origin"}
    asked = {"content-type": "application/json", "authorization": "Bearer any", **own, **more}

    with pytest.raises(CrossSite):
        await policy(anonymous="all").on_request(exchange(method=method, headers=asked))


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        # curl -d, and SDKs
        ("POST", {"content-type": "application/x-www-form-urlencoded", "host": "localhost:8400"}),
        ("POST", {"content-type": "application/json"}),
        # what a browser asks about first, so it was let in, or no browser sent it
        ("POST", EVIL | {"content-type": "application/json"}),
        ("POST", EVIL | {"content-type": "multipart/form-data", "authorization": "Bearer any"}),
        ("DELETE", EVIL),
        # what only reads, of which the page sees nothing
        ("GET", EVIL),
        ("OPTIONS", EVIL),
        # pages of its own site, of an origin that is let in, and what a user began
        ("POST", {"origin": "http://LocalHost:8400", "host": "localhost:8400"}),
        ("POST", {"origin": "http://[::1]:8400", "host": "[::1]:8400"}),
        ("POST", {"origin": "http://app.localhost", "host": "app.localhost"}),
        ("POST", {"origin": "https://app.example", "host": "app.example"}),
        ("POST", EVIL | {"sec-fetch-site": "none"}),
        ("POST", EVIL | {"origin": "https://app.example"}),
        ("GET", {**EVIL, **SOCKET, "origin": "https://app.example"}),
        ("GET", {**SOCKET, "origin": "http://127.0.0.1:8400", "host": "127.0.0.1:8400"}),
    ],
)
async def test_who_is_no_page_of_another_site_is_served(method, headers):
    x = exchange(method=method, headers=headers)
    await policy(anonymous="all", origins=frozenset({"https://app.example"})).on_request(x)

    assert x.tenant == "all"


async def test_every_page_is_served_where_every_origin_is_let_in_or_it_has_a_key():
    await policy(anonymous="all", origins=frozenset("*")).on_request(
        exchange(method="POST", headers=EVIL)
    )
    x = exchange(
        headers={**EVIL, **SOCKET, "sec-websocket-protocol": f"openai-insecure-api-key.{JWT}-key"},
        method="GET",
    )
    await policy(anonymous="all").on_request(x)

    assert x.tenant == "acme"
