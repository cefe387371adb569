"""What no single record can know: whether names meet, and whether it can work."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import get_args

from proxy.config.check_caches import cache_problems
from proxy.config.check_guards import guard_problems
from proxy.config.check_regions import region_problems
from proxy.config.money import money
from proxy.config.nodes import Problem
from proxy.config.schema import Cache, Record, Route, Settings
from proxy.config.schema.caches import AnswerJudge, Embed
from proxy.config.schema.content import Detector

Found = Iterator[Problem]


def check(
    settings: Settings, has_price: Callable[[str], bool]
) -> tuple[list[Problem], list[Problem]]:
    """Problems, and notes on what is odd but allowed."""
    problems = [
        *unknown_names(settings),
        *(
            problem
            for rule in (
                _route_names,
                _targets,
                _keys,
                _anonymous,
                _store,
                _on_exhausted,
                _redactions,
            )
            for problem in rule(settings)
        ),
    ]
    problems += money(settings, has_price)
    problems += guard_problems(settings)
    problems += cache_problems(settings)
    problems += region_problems(settings)
    return problems, [*_unreachable(settings), *_unshared(settings), *_pseudonyms(settings)]


def _unknown(record: Record, path: str, name: str, known: Iterable[str], what: str) -> Problem:
    names = list(known)
    near = difflib.get_close_matches(name, names, 1)
    if near:
        hint = f"; did you mean {near[0]!r}?"
    else:
        hint = f"; there is {', '.join(sorted(names))}" if names else "; there are none at all"
    verb = "are" if what == "limits" else "is"
    return record.problem(path, f"no {what} {verb} named {name!r}{hint}")


@dataclass(frozen=True, slots=True)
class _Use:
    """A name in one record that must be a key of a mapping."""

    record: Record
    path: str
    name: str | None
    known: Mapping[str, object]
    what: str


def unknown_names(s: Settings, lost: Collection[str] = ()) -> list[Problem]:
    """Names that are used and stand for nothing.

    ``lost`` are names of things that could not be read; nothing is said of them.
    """
    return [
        _unknown(use.record, use.path, use.name, use.known, use.what)
        for use in _uses(s)
        if use.name is not None and use.name not in use.known and use.name not in lost
    ]


def _uses(s: Settings) -> Iterator[_Use]:
    for route in s.routes:
        for target in route.asked():
            yield _Use(target, ".upstream", target.upstream, s.upstreams, "upstream")
        if route.shadow is not None:
            yield _Use(route.shadow, ".upstream", route.shadow.upstream, s.upstreams, "upstream")
        yield _Use(route, ".cache", route.cache, s.cache, "cache")
        yield _Use(route, ".redaction", route.redaction, s.redaction, "redaction")
        for i, guard in enumerate(route.guards):
            yield _Use(route, f".guards[{i}]", guard, s.guards, "guard")
    for tenant in s.tenants.values():
        for where, name in tenant.limits_in_use():
            yield _Use(tenant, where, name, s.limits, "limits")
        yield _Use(tenant, ".redaction", tenant.redaction, s.redaction, "redaction")
    for guard_ in s.guards.values():
        yield _Use(guard_, ".upstream", guard_.upstream, s.upstreams, "upstream")
    for cache in s.cache.values():
        for asked in _asked_by(cache):
            yield _Use(asked, ".upstream", asked.upstream, s.upstreams, "upstream")


def _asked_by(cache: Cache) -> list[Embed | AnswerJudge]:
    semantic = cache.semantic
    both = (semantic.embed, semantic.judge) if semantic is not None else ()
    return [one for one in both if one is not None]


def _route_names(s: Settings) -> Found:
    seen: dict[str, Route] = {}
    for route in s.routes:
        if route.name in seen:
            line = seen[route.name].place.line
            yield route.problem(".name", f"another route is named {route.name!r}, in line {line}")
        seen.setdefault(route.name, route)


def _targets(s: Settings) -> Found:
    for route in s.routes:
        names = [target.shown for target in route.targets]
        for i, target in enumerate(route.targets):
            if names.index(target.shown) != i:
                yield target.problem(
                    "",
                    f"two targets are named {target.shown!r}; give one a name of its own",
                )
        if route.rollback is not None and route.rollback.target not in names:
            yield _unknown(route.rollback, ".target", route.rollback.target, names, "target")
    for upstream in s.upstreams.values():
        if upstream.kind in ("azure", "vllm", "generic") and not (
            upstream.base_url or upstream.endpoints
        ):
            yield upstream.problem("", f"an upstream of kind {upstream.kind} needs a base_url")


def _keys(s: Settings) -> Found:
    owners: dict[bytes, tuple[str, int]] = {}
    for name, tenant in s.tenants.items():
        for key in tenant.keys:
            if not key.digest:
                continue
            owner = owners.setdefault(key.digest, (name, key.place.line))
            if owner[1] != key.place.line or owner[0] != name:
                yield key.problem(
                    "", f"the same key belongs to tenant {owner[0]!r}, line {owner[1]}"
                )
        if not tenant.keys and not tenant.anonymous and s.jwt is None:
            yield tenant.problem(
                "", "nobody can be this tenant: it has no keys and is not anonymous"
            )


def _anonymous(s: Settings) -> Found:
    if s.jwt is not None and not s.tenants:
        yield s.jwt.problem("", "tokens name tenants, and there are none")
    anonymous = [(name, t) for name, t in s.tenants.items() if t.anonymous]
    for name, tenant in anonymous[1:]:
        yield tenant.problem(
            ".anonymous", f"{anonymous[0][0]!r} is the anonymous tenant, not {name!r}"
        )
    if anonymous and not s.listen.is_loopback:
        yield anonymous[0][1].problem(
            ".anonymous",
            f"callers without a key are served on loopback only, and listen is {s.listen}",
        )
    if not s.tenants and not s.listen.is_loopback and s.jwt is None:
        yield s.problem(".tenants", f"listen is {s.listen}, so there must be tenants with keys")


def _store(s: Settings) -> Found:
    counts = any(t.limits_in_use() for t in s.tenants.values()) or any(r.cache for r in s.routes)
    if s.workers > 1 and s.store.is_memory and counts:
        # Without either there is nothing that workers would have to share.
        yield s.problem(
            ".workers", "limits and caches of several workers need a redis store (store.url)"
        )
    if s.admin.listen == s.listen and s.listen.port:
        yield s.problem(".admin.listen", "the data plane listens there")
    if s.workers > 1 and s.listen.path:
        yield s.problem(".listen", "a unix socket cannot be shared by several workers")


def _unshared(s: Settings) -> Found:
    used = {route.cache for route in s.routes}
    for name, cache in s.cache.items():
        if name in used and not s.store.is_memory and not cache.encrypt:
            yield cache.problem(".encrypt", "not set: each process keeps a cache of its own")


def _redactions(s: Settings) -> Found:
    """Actions are for what is looked for, and no two kinds share a name."""
    for redaction in s.redaction.values():
        kinds: list[str] = list(redaction.detect)
        for rule in redaction.rules:
            if rule.name in kinds or rule.name in get_args(Detector):
                yield rule.problem(".name", f"something else is called {rule.name!r} already")
            kinds.append(rule.name)
        for kind in redaction.actions:
            if kind not in kinds:
                yield _unknown(redaction, f".actions.{kind}", kind, kinds, "kind looked for")


def _on_exhausted(s: Settings) -> Found:
    for route in s.routes:
        if route.on_exhausted == "stale" and route.cache is None:
            yield route.problem(
                ".on_exhausted", "stale answers come from a cache, and there is none"
            )


def _pseudonyms(s: Settings) -> Found:
    if s.workers > 1 or not s.store.is_memory:
        for redaction in s.redaction.values():
            if not redaction.key:
                yield redaction.problem(
                    "",
                    "without a key each process gives its own pseudonyms: they share no cached "
                    "answer, and under an Idempotency-Key another asks anew",
                )


def _unreachable(s: Settings) -> Found:
    seen: list[Route] = []
    for route in s.routes:
        earlier = next((r for r in seen if r.match == route.match), None)
        if earlier is not None:
            yield route.problem("", f"never reached: route {earlier.name!r} matches the same")
        seen.append(route)
