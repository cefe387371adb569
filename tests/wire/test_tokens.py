"""Tenants from an identity provider's tokens, as clients and operators see it."""

import time
from contextlib import asynccontextmanager

import orjson
import pytest
from aiohttp import web

from proxy.config.load import load
from tests.program import CHAT, STREAM, ask, assert_refused, program, request
from tests.provider import ISSUER, forged, jwks, public_jwk
from tests.provider import token as signed_token
from tests.scripted import Scripted, json_answer, says, streams

MORE = """
jwt:
  issuer: https://idp.example.com/
  jwks: {jwks}
  tenant_claim: org
  scopes: {{"llm:chat": [/v1/chat/completions], "llm:models": [/v1/models]}}
"""


def token(*args, **claims):
    now = int(time.time())  # noqa: TID251 - the program's clock is the real one here
    given = {"iss": ISSUER, "iat": now, "exp": now + 300, "scope": "llm:chat"} | claims
    return signed_token(*args, **given)


@asynccontextmanager
async def running(tmp_path, source="{file: jwks.json}", answer=None, **parts):
    more = MORE.format(jwks=source)
    async with (
        Scripted([answer or says(json_answer())]) as upstream,
        program(tmp_path, upstream.port, more=more, **parts) as proxy,
    ):
        yield proxy, upstream


class Site:
    """A provider that serves its keys over HTTP on loopback."""

    def __init__(self, keys):
        self.keys, self.asked, self.is_down = keys, 0, False

    async def handle(self, _):
        self.asked += 1
        if self.is_down:
            return web.Response(status=500)
        return web.Response(body=self.keys, headers={"Cache-Control": "max-age=3600"})

    async def __aenter__(self):
        application = web.Application()
        application.router.add_get("/jwks", self.handle)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.source = f'{{url: "http://127.0.0.1:{self._runner.addresses[0][1]}/jwks"}}'
        return self

    async def __aexit__(self, *exc):
        await self._runner.cleanup()


async def test_a_token_serves_as_its_tenant_and_stays_here(tmp_path):
    (tmp_path / "jwks.json").write_bytes(jwks(public_jwk("RSA")))
    async with running(tmp_path, answer=streams()) as (proxy, upstream):
        text = token()
        answers = [await ask(proxy.port, request(body=STREAM, key=text)) for _ in range(2)]
        key = await ask(proxy.port, request(body=STREAM))

    assert [a.headers["x-sidestream-tenant"] for a in (*answers, key)] == ["acme"] * 3
    assert all(text not in value for r in upstream.requests for value in r.headers.values())
    assert "alice" not in str(upstream.requests)


async def test_tokens_that_are_not_good_are_refused_even_where_anyone_is_served(tmp_path):
    (tmp_path / "jwks.json").write_bytes(jwks(public_jwk("RSA")))
    bad = {
        token(exp=1): "expired",
        token(number=1): "signature",
        token(kid="k9"): "key id",
        token(org="evil"): "does not have",
        token(iss="https://evil.example/"): "issuer",
        forged({"alg": "none"}): "algorithm",
    }
    async with running(tmp_path, tenants="  all: {anonymous: true}") as (proxy, upstream):
        for text, why in bad.items():
            answer = await ask(proxy.port, request(body=CHAT, key=text))
            assert_refused(answer, 401, "invalid_api_key")
            assert why in answer.error["message"]
            assert text not in answer.body.decode()
        other = await ask(proxy.port, request(body=CHAT, key="sk-from-openai"))

    assert other.headers["x-sidestream-tenant"] == "all"
    assert len(upstream.requests) == 1


async def test_scopes_open_paths_within_those_of_the_tenant(tmp_path):
    (tmp_path / "jwks.json").write_bytes(jwks(public_jwk("RSA")))
    tenant = ", paths: [/v1/chat/completions, /v1/embeddings]"
    models = request("/v1/models", method="GET", key=token(scope="llm:models"))
    embed = request("/v1/embeddings", {"model": "m", "input": "x"}, key=token())
    async with running(tmp_path, tenant=tenant) as (proxy, _):
        chat = await ask(proxy.port, request(body=CHAT, key=token()))
        refused = [await ask(proxy.port, data) for data in (models, embed)]

    assert chat.status == 200
    for answer in refused:
        assert_refused(answer, 403, "path_not_allowed")


async def test_a_key_file_that_comes_later_is_read_when_it_is_there(tmp_path):
    async with running(tmp_path) as (proxy, _):
        early = await ask(proxy.port, request(body=CHAT, key=token()))
        notes = [str(n) for n in load(tmp_path / "sidestream.yaml", {}).notes]
        (tmp_path / "jwks.json").write_bytes(jwks(public_jwk("RSA")))
        assert await proxy.worker.reloader.reload() == []
        later = await ask(proxy.port, request(body=CHAT, key=token()))
        (tmp_path / "jwks.json").write_text("{}")
        (problem,) = await proxy.worker.reloader.reload()
        still = await ask(proxy.port, request(body=CHAT, key=token()))

    assert_refused(early, 503, "identity_unavailable")
    assert (
        "$.jwt.jwks.file: cannot read jwks.json: there is no such file yet; until then no token gets in"
        in notes[0]
    )
    assert "$.jwt.jwks: the file is no JWK set" in problem
    assert (later.status, still.status) == (200, 200)


async def test_a_set_of_useless_keys_leaves_the_old_in_force(tmp_path):
    (tmp_path / "jwks.json").write_bytes(jwks(public_jwk("RSA")))
    async with running(tmp_path) as (proxy, _):
        (tmp_path / "jwks.json").write_bytes(jwks(public_jwk("RSA", use="enc")))
        (problem,) = await proxy.worker.reloader.reload()
        still = await ask(proxy.port, request(body=CHAT, key=token()))

    assert "could not be built" in problem
    assert still.status == 200


@pytest.mark.parametrize(("kind", "algorithm"), [("P-256", "ES256"), ("Ed25519", "EdDSA")])
async def test_keys_by_url_are_fetched_and_rotate_without_a_refusal(tmp_path, kind, algorithm):
    async with (
        Site(jwks(public_jwk(kind, "old"))) as site,
        running(tmp_path, site.source) as (proxy, _),
    ):
        before = await ask(proxy.port, request(body=CHAT, key=token(kind, algorithm, kid="old")))
        site.keys = jwks(public_jwk(kind, "new", 1))
        new = token(kind, algorithm, kid="new", number=1)
        after = await ask(proxy.port, request(body=CHAT, key=new))
        old = await ask(proxy.port, request(body=CHAT, key=token(kind, algorithm, kid="old")))
        assert await proxy.worker.reloader.reload() == []
        reloaded = await ask(proxy.port, request(body=CHAT, key=new))

    assert (before.status, after.status, reloaded.status) == (200, 200, 200)
    assert_refused(old, 401, "invalid_api_key")
    assert site.asked == 2


async def test_a_provider_that_is_down_takes_nobody_with_it(tmp_path):
    async with Site(jwks(public_jwk("RSA"))) as site:
        site.is_down = True
        async with running(tmp_path, site.source) as (proxy, _):
            none = await ask(proxy.port, request(body=CHAT, key=token()))
            key = await ask(proxy.port, request(body=CHAT))
            metrics = await ask(
                proxy.worker.admin_port, request("/metrics", method="GET", key=None)
            )

    assert_refused(none, 503, "identity_unavailable")
    assert none.headers["retry-after"] == "5"
    assert key.status == 200
    assert "sidestream_jwks_fetch_failures_total" in metrics.body.decode()


async def test_a_log_line_names_the_token_as_such_and_nobody(tmp_path, log_lines):
    (tmp_path / "jwks.json").write_bytes(jwks(public_jwk("RSA")))
    async with running(tmp_path, requests="stdout") as (proxy, _):
        text = token()
        await ask(proxy.port, request(body=CHAT, key=text))
        await proxy.settled()

    (line,) = log_lines()
    assert orjson.loads(line)["key"] == "jwt"
    assert "alice" not in line
    assert text not in line
