"""Which route and which targets: a pure function of settings and facts.

``serve`` calls it for every request; whoever wants to know what a request
would meet calls it too, with ``explain=True``, and gets the reasons as well.
"""

from __future__ import annotations

import difflib
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from proxy.core.errors import BadRequest, ModelNotAllowed, UnknownModel
from proxy.core.plan import Dropped, Plan, Retry, Target
from proxy.rules.globs import GlobSet, is_literal
from proxy.rules.split import choose

COMPARE: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
}


class RegionNotAllowed(BadRequest):
    """Every target of the route is in a region the tenant may not use."""

    status = 403
    type = "permission_error"
    code = "region_not_allowed"


@dataclass(slots=True, kw_only=True)
class Facts:
    """What the planner may know of a request.

    ``models`` and ``regions`` are the tenant's bounds, ``None`` for none;
    ``split_seed`` stands in for a user where a request names none.
    """

    model: str
    path: str
    tenant: str
    tags: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    input_tokens: int = 0
    stream: bool = False
    has_tools: bool = False
    has_images: bool = False
    models: GlobSet | None = None
    regions: frozenset[str] | None = None
    split_seed: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What a request must be like for a route; what is ``None`` matches all."""

    model: GlobSet | None = None
    path: GlobSet | None = None
    tenant: GlobSet | None = None
    tags: tuple[tuple[str, GlobSet], ...] = ()
    headers: tuple[tuple[str, GlobSet], ...] = ()
    input_tokens: tuple[str, float] | None = None
    stream: bool | None = None
    tools: bool | None = None
    images: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteRule:
    """One route: when it matches, and where it leads.

    ``split_by`` names ``tenant``, ``user`` or ``header:NAME``.
    """

    name: str
    match: Match
    targets: tuple[tuple[Target, float], ...]
    fallback: tuple[Target, ...] = ()
    split_by: tuple[str, ...] = ("tenant", "user")
    retry: Retry = field(default_factory=Retry)
    fixed: Plan | None = None

    def __post_init__(self) -> None:
        """Where nothing is left to choose, there is one plan for all."""
        if self.fixed is None and len(self.targets) == 1:
            first = self.targets[0][0]
            ordered = (first, *(t for t in self.fallback if t != first))
            object.__setattr__(self, "fixed", Plan(self.name, ordered, self.retry))


@dataclass(frozen=True, slots=True)
class RouteTable:
    """All routes in their order.  ``regions`` maps upstreams to theirs.

    ``reads_body`` says that some rule asks for tokens, tools or images, which
    cost a walk over the body to know.  ``is_static`` says that nothing but
    model, path and tenant decides, so that a plan may be remembered.
    """

    rules: tuple[RouteRule, ...]
    regions: Mapping[str, str] = field(default_factory=dict)
    reads_body: bool = False
    is_static: bool = False

    @staticmethod
    def of(rules: tuple[RouteRule, ...], regions: Mapping[str, str]) -> RouteTable:
        """A table of ``rules``."""
        asks = any(
            rule.match.input_tokens is not None
            or rule.match.tools is not None
            or rule.match.images is not None
            for rule in rules
        )
        static = all(
            rule.fixed is not None
            and rule.match.stream is None
            and not (rule.match.tags or rule.match.headers)
            for rule in rules
        )
        return RouteTable(rules, regions, asks, static and not asks)


def plan(table: RouteTable, facts: Facts, *, explain: bool = False) -> Plan:
    """Route and targets for ``facts``.

    Raises ``ModelNotAllowed``, ``UnknownModel`` or ``RegionNotAllowed``.
    """
    if facts.model and facts.models is not None and not facts.models.matches(facts.model):
        raise ModelNotAllowed(
            f"tenant {facts.tenant!r} may not use the model {facts.model[:100]!r}"
            f"{_hint(facts.model, names_for(table, facts.models))}",
            param="model",
        )
    dropped: list[Dropped] = []
    for rule in table.rules:
        why = mismatch(rule.match, facts)
        if why is None:
            if rule.fixed is not None and facts.regions is None and not explain:
                return rule.fixed
            return _plan(table, rule, facts, dropped if explain else None)
        if explain:
            dropped.append(Dropped(f"route {rule.name}", why))
    if not facts.model:
        raise UnknownModel(f"no route serves {facts.path[:200]} without a model")
    raise UnknownModel(
        f"no route serves the model {facts.model[:100]!r}"
        f"{_hint(facts.model, names_for(table, facts.models))}",
        param="model",
    )


def mismatch(match: Match, facts: Facts) -> str | None:
    """Why ``facts`` do not fit; ``None`` if they do."""
    for name, glob, found in (
        ("model", match.model, facts.model),
        ("path", match.path, facts.path),
        ("tenant", match.tenant, facts.tenant),
    ):
        if glob is not None and not glob.matches(found):
            return f"the {name} is not {' or '.join(glob.patterns)}"
    for what, wanted_by_name, values in (
        ("tag", match.tags, facts.tags),
        ("header", match.headers, facts.headers),
    ):
        for name, wanted in wanted_by_name:
            if not wanted.matches(values.get(name, "")):
                return f"the {what} {name} is not {' or '.join(wanted.patterns)}"
    if match.input_tokens is not None:
        sign, bound = match.input_tokens
        if not COMPARE[sign](facts.input_tokens, bound):
            return f"about {facts.input_tokens} input tokens are not {sign}{bound:g}"
    for name, asked, is_so in (
        ("stream", match.stream, facts.stream),
        ("tools", match.tools, facts.has_tools),
        ("images", match.images, facts.has_images),
    ):
        if asked is not None and asked != is_so:
            return f"{name} is {str(is_so).lower()}"
    return None


def _plan(table: RouteTable, rule: RouteRule, facts: Facts, dropped: list[Dropped] | None) -> Plan:
    weighted = rule.targets
    fallback = rule.fallback
    if facts.regions is not None:
        weighted = tuple(t for t in weighted if _is_inside(table, t[0], facts, dropped))
        fallback = tuple(t for t in fallback if _is_inside(table, t, facts, dropped))
        if not weighted and not fallback:
            raise RegionNotAllowed(
                f"route {rule.name!r} has no target in {', '.join(sorted(facts.regions))}"
            )
    ordered: tuple[Target, ...] = fallback
    if weighted:
        first = (
            choose(weighted, seed_of(rule.split_by, facts))
            if len(weighted) > 1
            else (weighted[0][0])
        )
        ordered = (first, *(t for t in fallback if t != first)) if fallback else (first,)
        if dropped is not None:
            dropped += [
                Dropped(f"target {t.name}", "the split chose another")
                for t, _ in weighted
                if t is not first
            ]
    return Plan(rule.name, ordered, rule.retry, tuple(dropped) if dropped else ())


def _is_inside(
    table: RouteTable, target: Target, facts: Facts, dropped: list[Dropped] | None
) -> bool:
    assert facts.regions is not None
    region = table.regions.get(target.upstream, "")
    if region in facts.regions:
        return True
    if dropped is not None:
        dropped.append(Dropped(f"target {target.name}", f"it is in {region or 'no region'}"))
    return False


def seed_of(split_by: tuple[str, ...], facts: Facts) -> str:
    """What a split is sticky by; the request itself where no user is named."""
    parts = []
    for name in split_by:
        if name == "tenant":
            parts.append(facts.tenant)
        elif name == "user":
            parts.append(facts.user or facts.split_seed)
        else:
            value = facts.headers.get(name.removeprefix("header:"), "")
            parts.append(value or facts.split_seed)
    return "\0".join(parts)


def names_for(table: RouteTable, allowed: GlobSet | None) -> list[str]:
    """Model names that a tenant may use and some route serves, sorted.

    Only names that the configuration spells out: a pattern stands for models
    that nobody has listed.
    """
    globs = [rule.match.model for rule in table.rules]
    spelled = {p for glob in globs if glob is not None for p in glob.patterns if is_literal(p)}
    # Behind a pattern, the models that targets name are what one can ask for.
    for rule in table.rules:
        for target in (*(t for t, _ in rule.targets), *rule.fallback):
            named = target.model
            if named and (rule.match.model is None or rule.match.model.matches(named)):
                spelled.add(named)
    if allowed is not None:
        served = [p for p in allowed.patterns if is_literal(p)]
        spelled |= {p for p in served if any(g is None or g.matches(p) for g in globs)}
        spelled = {name for name in spelled if allowed.matches(name)}
    return sorted(spelled)


def _hint(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; there is {', '.join(known[:10])}" if known else ""
