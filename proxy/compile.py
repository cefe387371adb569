"""Settings as the tables that requests meet: plain values for the engines.

Part of the composition: the policies and the rules know no schema, so what
they take is made here, once for each configuration.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import replace

from proxy.config import schema
from proxy.config.nodes import ConfigError, Problem
from proxy.config.schema import Settings
from proxy.core.exchange import Exchange
from proxy.core.plan import Retry, Target
from proxy.core.ports import Clock
from proxy.identity.claims import Expected
from proxy.identity.fetched import Keyring
from proxy.identity.tokens import SignedTokens
from proxy.policies.authenticate import ApiKey, Caller, Issuer, PathJudge
from proxy.policies.route import Scope
from proxy.redact.patterns import UnusablePattern
from proxy.redact.ruleset import Own, Ruleset, source_of
from proxy.redact.scan import Source
from proxy.rules.globs import GlobSet
from proxy.rules.planner import Match, RouteRule, RouteTable, names_for
from proxy.rules.prices import Price, PriceTable, cost_nanos
from proxy.upstream.deadlines import Deadlines
from proxy.upstream.fleet import Spec, Tls
from proxy.upstream.gate import Adapts, Bounds
from proxy.upstream.providers import PROVIDERS
from proxy.upstream.recogniser import Presidio
from proxy.wire.endpoints import path_filter

ANONYMOUS = "anonymous"
"""The tenant where the configuration names none."""

PRIORITIES = ("interactive", "batch", "internal")
"""In the order in which they are served."""

SELF_HOSTED = frozenset({"vllm", "ollama", "generic"})
"""Kinds that queue when they are full, where hosted providers answer 429."""


def route_table(settings: Settings) -> RouteTable:
    """All routes, compiled."""
    rules = tuple(_rule(route) for route in settings.routes)
    regions = {name: upstream.region for name, upstream in settings.upstreams.items()}
    return RouteTable.of(rules, regions)


def _rule(route: schema.Route) -> RouteRule:
    match = route.match
    bound = match.input_tokens
    return RouteRule(
        name=route.name,
        match=Match(
            model=GlobSet(match.model) if match.model else None,
            path=GlobSet(match.path) if match.path else None,
            tenant=GlobSet(match.tenant) if match.tenant else None,
            tags=tuple((name, GlobSet((glob,))) for name, glob in match.tags.items()),
            headers=tuple((name, GlobSet((glob,))) for name, glob in match.headers.items()),
            input_tokens=(bound.sign, bound.value) if bound is not None else None,
            stream=match.stream,
            tools=match.tools,
            images=match.images,
        ),
        targets=tuple((_target(t), float(t.weight)) for t in route.targets),
        fallback=tuple(_target(t) for t in route.fallback),
        split_by=tuple(route.split_by.split("+")),
        retry=Retry(route.retry.attempts, frozenset(route.retry.on), route.retry.budget),
    )


def _target(target: schema.Target) -> Target:
    return Target(target.shown, target.upstream, target.model)


def callers_of(settings: Settings) -> tuple[dict[str, Caller], tuple[ApiKey, ...], str | None]:
    """Tenants, their keys, and which of them is anonymous."""
    callers = {
        name: Caller(
            name,
            _path_judge(tenant.paths),
            tenant.tags,
            PRIORITIES.index(tenant.priority),
            tenant.weight,
        )
        for name, tenant in settings.tenants.items()
    }
    anonymous = next((n for n, t in settings.tenants.items() if t.anonymous), None)
    if not settings.tenants:
        callers[ANONYMOUS] = Caller(ANONYMOUS, _path_judge(()))
        anonymous = ANONYMOUS
    keys = tuple(
        ApiKey(name, key.digest, key.shown, key.expires)
        for name, tenant in settings.tenants.items()
        for key in tenant.keys
        if key.digest
    )
    return callers, keys, anonymous


def issuer_of(settings: Settings, keyring: Keyring, clock: Clock) -> Issuer | None:
    """Who names tenants by tokens, if anybody does."""
    jwt = settings.jwt
    if jwt is None:
        keyring.source("", "")  # none are fetched for nobody
        return None
    expected = Expected(
        issuer=jwt.issuer,
        tenant_claim=jwt.tenant_claim,
        tenants=frozenset(settings.tenants),
        audience=jwt.audience,
        leeway=jwt.leeway,
        scopes=frozenset(jwt.scopes),
    )
    source = keyring.source(jwt.jwks.file.reveal(), jwt.jwks.url)
    opens = {scope: _opens(paths) for scope, paths in jwt.scopes.items()}
    return Issuer(SignedTokens(expected, source, clock), opens)


def _path_judge(paths: tuple[str, ...]) -> PathJudge:
    return _opens(paths) if paths else lambda x: not x.endpoint.opt_in


def _opens(paths: tuple[str, ...]) -> PathJudge:
    pattern = path_filter(paths)
    return lambda x: pattern.fullmatch(x.path) is not None


def scopes_of(settings: Settings) -> Mapping[str, Scope]:
    """What bounds each tenant's routing."""
    scopes = {
        name: Scope(
            GlobSet(tenant.models) if tenant.models else None,
            frozenset(tenant.regions) if tenant.regions else None,
        )
        for name, tenant in settings.tenants.items()
    }
    return scopes or {ANONYMOUS: Scope()}


def redactions_of(settings: Settings) -> dict[str, Ruleset]:
    """Every redaction, its rules tried on their own examples.

    Raises ``ConfigError`` with all that is wrong with them.
    """
    problems: list[Problem] = []
    made = {name: _ruleset(name, one, problems) for name, one in settings.redaction.items()}
    if problems:
        raise ConfigError(problems)
    return made


def _ruleset(name: str, redaction: schema.Redaction, problems: list[Problem]) -> Ruleset:
    own = [source for rule in redaction.rules if (source := _own_rule(rule, problems)) is not None]
    answers = redaction.answers
    return Ruleset(
        name=name,
        source=source_of(redaction.detect, own),
        action=redaction.action,
        actions=dict(redaction.actions),
        recogniser=_recogniser(redaction.http) if redaction.http is not None else None,
        restore=redaction.restore,
        answers=source_of(answers.detect) if answers is not None else None,
        answer_action=answers.action if answers is not None else "mask",
        is_closed=redaction.on_error == "closed",
        allows_unreadable=redaction.unreadable == "allow",
        key=b64decode(redaction.key.reveal()),
    )


def _recogniser(http: schema.HttpDetector) -> Presidio:
    return Presidio(
        http.url, http.entities, language=http.language, score=http.score, timeout_s=http.timeout
    )


def _own_rule(rule: schema.Rule, problems: list[Problem]) -> Source | None:
    tests = rule.tests or schema.RuleTests()
    own = Own(rule.name, rule.pattern, rule.terms, tests.match, tests.no_match)
    try:
        source = own.source()
    except UnusablePattern as exc:
        where = "pattern" if rule.pattern else "terms"
        problems.append(rule.problem(f".{where}", str(exc)))
        return None
    for kind, i in own.failures(source):
        wanted = "finds nothing in this" if kind == "match" else "finds something in this"
        problems.append(tests.problem(f".{kind}[{i}]", f"the rule {wanted}"))
    return source


def catalog_of(settings: Settings, table: RouteTable) -> dict[str, tuple[str, ...]]:
    """What ``/v1/models`` lists for each tenant."""
    catalog = {}
    for name, scope in scopes_of(settings).items():
        names = names_for(table, scope.models)
        if names or scope.models is not None:
            catalog[name] = tuple(names)
    return catalog


def specs_of(settings: Settings) -> dict[str, Spec]:
    """Upstreams in plain values."""
    longest = settings.process.max_stream_duration
    return {
        name: replace(
            _spec(name, upstream, longest), bounds=_bounds(upstream, max(1, settings.workers))
        )
        for name, upstream in settings.upstreams.items()
    }


def _bounds(upstream: schema.Upstream, workers: int) -> Bounds | None:
    """One worker's part of what an upstream is given at once."""
    given = upstream.concurrency
    if given is None:
        return None
    way: Adapts = "gradient" if upstream.kind in SELF_HOSTED else "aimd"
    return Bounds(
        max=max(1, given.max // workers),
        queue=-(-given.queue // workers),
        queue_s=given.queue_timeout,
        adapts=way if given.adaptive else "",
    )


def _spec(name: str, upstream: schema.Upstream, longest: float) -> Spec:
    provider = replace(PROVIDERS[upstream.kind], api_version=upstream.api_version)
    urls = upstream.endpoints or (upstream.base_url or provider.base_url,)
    headers = [*upstream.headers.items()]
    if upstream.organization:
        headers.append(("openai-organization", upstream.organization))
    if upstream.project:
        headers.append(("openai-project", upstream.project))
    times = upstream.timeouts
    return Spec(
        name=name,
        provider=provider,
        urls=urls,
        key=upstream.api_key.reveal(),
        headers=tuple(headers),
        deadlines=Deadlines(times.first_token, times.idle, times.total),
        max_duration=longest,
        connect_s=times.connect,
        asks_usage=provider.asks_usage if upstream.ask_usage is None else upstream.ask_usage,
        passthrough=upstream.passthrough,
        region=upstream.region,
        max_connections=upstream.max_connections,
        tls=_tls(upstream.tls),
    )


def _tls(tls: schema.Tls | None) -> Tls | None:
    return Tls(ca=tls.ca, cert=tls.cert, key=tls.key, verify=tls.verify) if tls else None


def prices_of(settings: Settings) -> dict[str, Price]:
    """Prices that the configuration sets."""
    return {
        glob: Price(
            input=price.input,
            output=price.output,
            cached=price.cached,
            audio_in=price.audio_input,
            audio_out=price.audio_output,
            request=price.request,
            tiers={tier: round(factor * 1000) for tier, factor in price.tiers.items()},
        )
        for glob, price in settings.prices.items()
    }


def pricing(prices: PriceTable) -> Callable[[Exchange], None]:
    """What sets an exchange's cost from its usage, and adds what was spared to both."""

    def price(x: Exchange) -> None:
        if x.usage is not None:
            found = prices.find(x.billed)
            x.cost_nanos = cost_nanos(found, x.usage) if found is not None else None
            if x.spared is not None:
                tokens, nanos = x.spared
                x.usage.prompt += tokens
                x.cost_nanos = x.cost_nanos + nanos if x.cost_nanos is not None else None

    return price
