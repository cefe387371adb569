"""Whether what a configuration says can be built, tried before anything is."""

from __future__ import annotations

from proxy.accounts import store_problems
from proxy.compile import redactions_of, specs_of
from proxy.config.nodes import ConfigError, Problem
from proxy.config.schema import Settings
from proxy.limits import allowance_table
from proxy.upstream.fleet import UnusableTls, tls_context


def refuse_unbuildable(settings: Settings) -> None:
    """Raises ``ConfigError`` with what is wrong."""
    if problems := [*store_problems(settings), *tls_problems(settings)]:
        raise ConfigError(problems)
    allowance_table(settings)
    redactions_of(settings)  # made anew, they come from a cache


def tls_problems(settings: Settings) -> list[Problem]:
    """TLS files of upstreams that cannot be used."""
    problems = []
    for name, spec in specs_of(settings).items():
        tls = settings.upstreams[name].tls
        if tls is None or not any(url.lower().startswith("https:") for url in spec.urls):
            continue
        try:
            tls_context(spec.tls)
        except UnusableTls as exc:
            problems.append(tls.problem(f".{exc.part}", exc.why))
    return problems
