"""``sidestream explain``: what a request would meet, and why not something else.

The same planner, limits and redaction as ``serve`` asks, on a request from
standard input; nothing is sent and nothing is counted.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from proxy.compile import redactions_of, route_table, scopes_of
from proxy.config.schema import Cache, Settings
from proxy.core.errors import ProxyError
from proxy.limits import allowance_table
from proxy.rules.cacheable import When, bypass
from proxy.rules.cachekey import canonical
from proxy.rules.estimate import Learned, sizes_of
from proxy.rules.planner import Facts, plan
from proxy.try_redaction import tried
from proxy.wire.body import estimate_tokens, facts_of, model_of, parse_json, stream_of, user_of
from proxy.wire.endpoints import find
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
        return {**told, "refused": {"status": exc.status, "code": exc.code, "why": exc.message}}
    route = next(r for r in settings.routes if r.name == made.route)
    told["route"] = made.route
    told["targets"] = [target.name for target in made.targets]
    told["not"] = [{"what": dropped.what, "why": dropped.why} for dropped in made.dropped]
    tokens, most = Learned().prompt(sizes_of(*prompt_of(body)))
    told["prompt"] = {"tokens": tokens, "reserved": most, "is_estimate": True}
    told["limits"] = _limits(settings, tenant, facts)
    named = route.redaction or (configured.redaction if configured is not None else None)
    if named:
        told["redaction"] = _redaction(settings, named, raw)
    told["guards"] = list(route.guards)
    told["cache"] = route.cache
    semantic = settings.cache[route.cache].semantic if route.cache is not None else None
    told["semantic"] = semantic.mode if semantic is not None else "off"
    if route.cache is not None:
        told["bypass"] = _bypass(settings.cache[route.cache], found[1].name, body)
    return told


def _bypass(cache: Cache, endpoint: str, body: dict[str, Any]) -> str:
    """Why the cache would leave the request alone, in a word; empty if it would not."""
    when = cache.when.temperature
    allowed = When(when.sign, when.value, cache.when.seed == "given").allows(body)
    if endpoint != "embeddings" and not allowed:
        return "when"
    return bypass(endpoint, body, canonical(body))


def _limits(settings: Settings, tenant: str, facts: Facts) -> dict[str, Any]:
    sheet = allowance_table(settings).find(tenant, "", facts.model, is_stream=facts.stream)
    if sheet is None:
        return {}
    most = {
        "max_input_tokens": sheet.max_input,
        "max_output_tokens": sheet.max_output,
        "max_cost_usd": sheet.max_cost / 1e9 if sheet.max_cost is not None else None,
    }
    bounds = [
        {
            "limit": bound.limit.name,
            "shown": bound.shown,
            "of": bound.scope or bound.by,
            "when_spent": bound.budget.action if bound.budget is not None else "refuse",
        }
        for bound in sheet.bounds
    ]
    return {"bounds": bounds, **{name: value for name, value in most.items() if value is not None}}


def _redaction(settings: Settings, name: str, raw: bytes) -> dict[str, Any]:
    """What would be found, by kind and action; never what it was."""
    result = tried(redactions_of(settings)[name], raw.decode("utf-8", "replace"))
    counts = Counter((one["kind"], one["action"]) for one in result.findings)
    found = [
        {"kind": kind, "action": action, "count": count}
        for (kind, action), count in sorted(counts.items())
    ]
    return {"name": name, "found": found, "refused": result.refusal or None}


def as_text(told: dict[str, Any]) -> str:
    """The same for people."""
    lines = [f"tenant     {told['tenant']}", f"path       {told['path']}"]
    if "refused" in told:
        refused = told["refused"]
        lines.append(f"refused    {refused['status']} {refused['code']}: {refused['why']}")
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
    lines.append(f"guards     {', '.join(told['guards']) or 'none'}")
    like = f", questions that mean the same: {told['semantic']}" if told["cache"] else ""
    if told.get("bypass"):
        like = f", but this request is left alone: {told['bypass']}"
    lines.append(f"cache      {told['cache'] or 'none'}{like}")
    return "\n".join(lines) + "\n"
