"""``sidestream explain``: what a request would meet, and why not something else.

The same planner, limits and redaction as ``serve`` asks, on a request from
standard input; nothing is sent and nothing is counted.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from proxy.compile import redactions_of, route_table, scopes_of
from proxy.compile_guards import guards_of, shipped_packs, toolboxes_of
from proxy.config.schema import Cache, Settings
from proxy.core.errors import ProxyError
from proxy.core.judging import Verdict
from proxy.limits import allowance_table, most_of
from proxy.policies.tools import check_asked
from proxy.rules.cacheable import When, bypass
from proxy.rules.cachekey import canonical
from proxy.rules.estimate import Learned, sizes_of
from proxy.rules.guards import UNREADABLE, Guard, refusal
from proxy.rules.planner import Facts, plan
from proxy.try_redaction import tried
from proxy.wire.body import estimate_tokens, facts_of, model_of, parse_json, stream_of, user_of
from proxy.wire.embeddings import inputs_of
from proxy.wire.endpoints import find
from proxy.wire.prompt import has_tokens, said_in
from proxy.wire.tokens import prompt_of


class NoRequest(Exception):
    """There is nothing to explain; the message says why."""


def explain(settings: Settings, raw: bytes, tenant: str, path: str) -> dict[str, Any]:
    """What ``raw``, a JSON body sent to ``path`` by ``tenant``, would meet.

    Raises ``NoRequest`` for a tenant or a path that there is not.
    """
    scopes = scopes_of(settings)
    if not tenant and len(scopes) == 1:
        tenant = next(iter(scopes))
    if tenant not in scopes:
        raise NoRequest(f"name a tenant with --tenant; there is {', '.join(sorted(scopes))}")
    found = find(path)
    if found is None:
        raise NoRequest(f"no such path: {path[:200]}")
    told: dict[str, Any] = {"tenant": tenant, "path": found[0]}
    try:
        body = parse_json(raw)
        has_tools, has_images, _ = facts_of(body)
        configured = settings.tenants.get(tenant)
        facts = Facts(
            model=model_of(body),
            path=found[0],
            tenant=tenant,
            tags=configured.tags if configured is not None else {},
            user=user_of(body),
            input_tokens=estimate_tokens(body),
            stream=stream_of(body),
            has_tools=has_tools,
            has_images=has_images,
            regions=scopes[tenant].regions,
            models=scopes[tenant].models,
        )
        told["model"] = facts.model
        made = plan(route_table(settings), facts, explain=True)
    except ProxyError as exc:
        return {**told, "refused": _refused(exc)}
    route = next(r for r in settings.routes if r.name == made.route)
    told["route"] = made.route
    told["targets"] = [target.name for target in made.targets]
    told["not"] = [{"what": dropped.what, "why": dropped.why} for dropped in made.dropped]
    tokens, most = Learned().prompt(sizes_of(*prompt_of(body)))
    told["prompt"] = {"tokens": tokens, "reserved": most, "is_estimate": True}
    told["limits"] = _limits(settings, tenant, facts)
    named = route.redaction or (configured.redaction if configured is not None else None)
    if named:
        told["redaction"], body = _redaction(settings, named, raw, body)
    told["guards"] = list(route.guards)
    told |= _content(settings, made.route, tenant, found[0], body)
    told["cache"] = route.cache
    semantic = settings.cache[route.cache].semantic if route.cache is not None else None
    told["semantic"] = semantic.mode if semantic is not None else "off"
    if route.cache is not None:
        cache = settings.cache[route.cache]
        told["bypass"] = word = _bypass(cache, found[1].name, body)
        told["bypass_why"] = _in_words(cache, word, body)
    return told


def _refused(error: ProxyError) -> dict[str, Any]:
    return {"status": error.status, "code": error.code, "why": error.message}


def _content(
    settings: Settings, route: str, tenant: str, path: str, body: dict[str, Any]
) -> dict[str, Any]:
    """What tools and guards would say to the request, in the order they are asked."""
    told: dict[str, Any] = {}
    errors: list[ProxyError] = []
    box = toolboxes_of(settings).get(tenant)
    if box is not None:
        told["tools"] = "allowed"
        try:
            check_asked(box, body)
        except ProxyError as exc:
            told["tools"] = exc.message
            errors.append(exc)
    requests, answers = guards_of(settings, shipped_packs())
    said = []
    # Those that search come before those that ask.
    for guard in sorted(requests.get(route, ()), key=lambda guard: guard.asks):
        word, error = _verdict(guard, path, body)
        said.append({"guard": guard.name, "action": guard.action, "request": word})
        if error is not None:
            errors.append(error)
    heard = {guard.name for guard in requests.get(route, ())}
    said += [
        {"guard": guard.name, "action": guard.action, "request": "not asked, it judges answers"}
        for guard in answers.get(route, ())
        if guard.name not in heard
    ]
    told["verdicts"] = said
    if errors:
        told["refused"] = _refused(errors[0])
    return told


def _verdict(guard: Guard, path: str, body: dict[str, Any]) -> tuple[str, ProxyError | None]:
    """What a guard finds, and the refusal that follows; it asks nobody."""
    if not guard.takes(path):
        return "not asked, it is for other paths", None
    if has_tokens(body):
        return "cannot read tokens", refusal(guard, UNREADABLE)
    if guard.finder is None:
        return "asked when served", None
    for said in guard.hears(said_in(body)):
        if category := guard.finder.find(said.text):
            return category, refusal(guard, Verdict(category))
    return "pass", None


def _bypass(cache: Cache, endpoint: str, body: dict[str, Any]) -> str:
    """Why the cache would leave the request alone, in a word; empty if it would not."""
    when = cache.when.temperature
    allowed = When(when.sign, when.value, cache.when.seed == "given").allows(body)
    if endpoint != "embeddings" and not allowed:
        return "when"
    if endpoint == "embeddings" and inputs_of(body) is None:
        return "input"
    return bypass(endpoint, body, canonical(body))


_WORDS: Final = {
    "store": "the provider is asked to keep the answer (`store`; the default of Responses)",
    "previous_response_id": "it goes on from an answer that the provider keeps",
    "conversation": "it belongs to a conversation that the provider keeps",
    "background": "it runs in the background",
    "web_search_options": "the provider would search the web",
    "audio": "it asks for sound",
    "stored_prompt": "its prompt is kept by the provider",
    "hosted_tools": "it has tools that the provider runs",
    "remote_url": "it names a URL, whose content may change",
    "input": "its input is neither texts nor tokens, or more than 4,096 of them",
    "huge_number": "it has a number too large to be compared",
}  # fmt: skip


def _in_words(cache: Cache, word: str, body: dict[str, Any]) -> str:
    """What a word of ``_bypass`` says."""
    if word != "when":
        return _WORDS.get(word, word)
    when = cache.when
    given = body.get("temperature")
    shown = f"{given:g}" if isinstance(given, int | float) else "not set, so it is 1"
    must = f"temperature must be {when.temperature.sign} {when.temperature.value:g}"
    seed = "a seed given too" if when.seed == "given" else "or a seed given"
    has = "has" if body.get("seed") is not None else "has no"
    return f"{must}, {seed}; the temperature is {shown}, and it {has} seed"


def _limits(settings: Settings, tenant: str, facts: Facts) -> dict[str, Any]:
    sheet = allowance_table(settings).find(tenant, "", facts.model, is_stream=facts.stream)
    if sheet is None:
        return {}
    bounds = [
        {
            "limit": bound.limit.name,
            "shown": bound.shown,
            "of": bound.scope or bound.by,
            "when_spent": bound.budget.action if bound.budget is not None else "refuse",
        }
        for bound in sheet.bounds
    ]
    most = {name: value for name, value in most_of(sheet).items() if value is not None}
    return {"bounds": bounds, **most}


def _redaction(
    settings: Settings, name: str, raw: bytes, body: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What would be found, by kind and action, never what it was; and the body after it."""
    result = tried(redactions_of(settings)[name], raw.decode("utf-8", "replace"))
    counts = Counter((one["kind"], one["action"]) for one in result.findings)
    found = [
        {"kind": kind, "action": action, "count": count}
        for (kind, action), count in sorted(counts.items())
    ]
    told = {"name": name, "found": found, "refused": result.refusal or None}
    return told, body if result.refusal else parse_json(result.text.encode())


def as_text(told: dict[str, Any]) -> str:
    """The same for people."""
    lines = [f"tenant     {told['tenant']}", f"path       {told['path']}"]
    if "refused" in told:
        refused = told["refused"]
        lines.append(f"refused    {refused['status']} {refused['code']}: {refused['why']}")
    if "route" not in told:
        return "\n".join(lines) + "\n"
    lines.append(f"model      {told['model']}")
    lines.append(f"route      {told['route']}")
    lines.append(f"targets    {', then '.join(told['targets'])}")
    lines += [f"  not      {one['what']}: {one['why']}" for one in told["not"]]
    prompt = told["prompt"]
    lines.append(f"prompt     about {prompt['tokens']} tokens, {prompt['reserved']} reserved")
    limits = told["limits"]
    for bound in limits.get("bounds", ()):
        lines.append(f"limit      {bound['shown']} ({bound['of']}), then {bound['when_spent']}")
    lines += [f"bound      {name} {value:g}" for name, value in limits.items() if name != "bounds"]
    if "redaction" in told:
        redaction = told["redaction"]
        found = [f"{one['count']} {one['kind']} ({one['action']})" for one in redaction["found"]]
        lines.append(f"redaction  {redaction['name']}: {', '.join(found) or 'nothing found'}")
        if redaction["refused"]:
            lines.append(f"  refused  {redaction['refused']}")
    if "tools" in told:
        lines.append(f"tools      {told['tools']}")
    lines.append(f"guards     {', '.join(told['guards']) or 'none'}")
    lines += [
        f"  guard    {one['guard']} ({one['action']}): {one['request']}" for one in told["verdicts"]
    ]
    like = f", questions that mean the same: {told['semantic']}" if told["cache"] else ""
    if told.get("bypass"):
        like = f", but this request is left alone: {told['bypass_why']} ({told['bypass']})"
    lines.append(f"cache      {told['cache'] or 'none'}{like}")
    return "\n".join(lines) + "\n"
