"""Settings of guards and tools as what the stages take.  Part of the composition."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from proxy.config import schema
from proxy.config.schema import Settings
from proxy.config.schema.content import CATEGORIES
from proxy.judges.panel import Client, Panel, Seat
from proxy.rules.conformity import Conformity
from proxy.rules.globs import GlobSet
from proxy.rules.guards import Guard
from proxy.rules.patterns import Finder, Pattern, load_pack
from proxy.rules.toolbox import Toolbox
from proxy.upstream.fleet import Spec, tls_context
from proxy.wire.judging import PATHS, Form, Kind

PACKS: Final = Path(__file__).parent / "rules" / "packs"


def shipped_packs() -> dict[str, tuple[Pattern, ...]]:
    """The packs that come with the program, by name."""
    return {n: load_pack((PACKS / f"{n}.yaml").read_text(encoding="utf-8")) for n in CATEGORIES}


def guards_of(
    settings: Settings, packs: Mapping[str, tuple[Pattern, ...]]
) -> tuple[dict[str, tuple[Guard, ...]], dict[str, tuple[Guard, ...]]]:
    """The guards of each route: those over requests, those over answers."""
    used = {name for route in settings.routes for name in route.guards}
    made = {name: _guard(name, settings.guards[name], packs) for name in used}
    requests, answers = {}, {}
    for route in settings.routes:
        named = [(settings.guards[name], made[name]) for name in route.guards]
        if some := tuple(guard for said, guard in named if said.judges_requests):
            requests[route.name] = some
        if some := tuple(guard for said, guard in named if said.judges_answers):
            answers[route.name] = some
    return requests, answers


def _guard(name: str, guard: schema.Guard, packs: Mapping[str, tuple[Pattern, ...]]) -> Guard:
    finder = conformity = None
    if guard.kind == "patterns":
        patterns = [p for pack in guard.pack for p in packs[pack]]
        patterns += [Pattern(rule.name, rule.source) for rule in guard.patterns]
        chosen = [p for p in patterns if not guard.categories or p.category in guard.categories]
        finder = Finder(chosen)
    elif guard.kind == "schema" and guard.schema is not None:
        conformity = Conformity(json.loads(guard.schema))
    depends = (guard.kind, guard.upstream, guard.model, guard.preset, guard.prompt, guard.url,
               guard.categories, guard.threshold)  # fmt: skip
    return Guard(
        name=name,
        action=guard.action,
        fails_open=guard.on_error == "open",
        roles=frozenset(guard.roles),
        paths=GlobSet(guard.paths) if guard.paths else None,
        finder=finder,
        is_schema=guard.kind == "schema",
        conformity=conformity,
        identity=blake2b(repr(depends).encode(), digest_size=16).digest(),
        remember_s=guard.remember,
        window=guard.window,
    )


def panel_of(
    settings: Settings, specs: Mapping[str, Spec], client: Client, now: Callable[[], float]
) -> Panel:
    """The judges that guards of this configuration ask."""
    used = {name for route in settings.routes for name in route.guards}
    seats = {}
    for name in used:
        guard = settings.guards[name]
        if guard.kind not in ("patterns", "schema"):
            seats[name] = _seat(guard, specs.get(guard.upstream or ""))
    return Panel(seats, client, now)


def _seat(guard: schema.Guard, spec: Spec | None) -> Seat:
    form = Form(
        kind=_form(guard),
        model=guard.model,
        what=guard.prompt,
        categories=guard.categories,
        threshold=guard.threshold,
    )
    if spec is None:
        headers = {key: value.reveal() for key, value in guard.headers.items()}
        return Seat(url=guard.url, headers=headers, form=form, timeout_s=guard.timeout)
    base = urlsplit(spec.urls[0])
    path = spec.provider.path_for(base.path.rstrip("/"), PATHS[form.kind], "", guard.model)
    own = spec.provider.auth_headers(spec.key)
    return Seat(
        url=f"{base.scheme}://{base.netloc}{path}",
        headers={k.decode(): v.decode() for k, v in own} | dict(spec.headers),
        form=form,
        timeout_s=guard.timeout,
        tls=tls_context(spec.tls) if base.scheme == "https" and spec.tls is not None else None,
    )


def _form(guard: schema.Guard) -> Kind:
    if guard.kind == "llm":
        return guard.preset
    return "moderation" if guard.kind == "moderation" else "http"


def toolboxes_of(settings: Settings) -> dict[str, Toolbox]:
    """What each tenant's requests and models may do with tools."""
    return {
        name: Toolbox(
            GlobSet(tenant.tools.allow),
            int(tenant.tools.max_calls) if tenant.tools.max_calls is not None else None,
        )
        for name, tenant in settings.tenants.items()
        if tenant.tools is not None
    }
