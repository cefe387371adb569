"""Whether guards can do what their settings say, each problem with its place."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

import re2
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from proxy.config.nodes import Problem
from proxy.config.schema import Settings
from proxy.config.schema.content import CATEGORIES, Guard

Found = Iterator[Problem]

MAX_MEMORY: Final = 32 << 20
"""Bytes that all patterns of a guard may take together, as where they are searched for."""

_OF_KIND: Final = {
    "patterns": {"pack", "categories", "patterns", "roles"},
    "moderation": {"upstream", "model", "categories", "threshold", "roles", "remember", "window"},
    "llm": {"upstream", "model", "preset", "prompt", "categories", "roles", "remember", "window"},
    "http": {"url", "headers", "region", "categories", "threshold", "roles", "remember", "window"},
    "schema": {"schema"},
}  # fmt: skip
_COMMON: Final = {"stage", "kind", "action", "paths", "timeout", "on_error"}


def guard_problems(s: Settings) -> Found:
    """All that is wrong with guards."""
    for name, guard in s.guards.items():
        if not name.isprintable() or not name.isascii() or "," in name:
            yield guard.problem("", "a guard's name stands in a header: ASCII, and no comma")
        yield from _misplaced(guard)
        yield from _missing(guard)
        yield from _judge(s, guard)
        yield from _categories(guard)
        yield from _patterns(guard)
        yield from _schema(guard)


def _misplaced(guard: Guard) -> Found:
    for name in sorted(guard.given - _OF_KIND[guard.kind] - _COMMON):
        yield guard.problem(f".{name}", f"a guard of kind {guard.kind} takes no {name}")
    if guard.kind == "schema" and "stage" in guard.given and guard.stage != "answer":
        yield guard.problem(".stage", "a guard of kind schema judges answers")


def _missing(guard: Guard) -> Found:
    if guard.kind == "patterns" and not guard.pack and not guard.patterns:
        yield guard.problem("", "a guard of kind patterns needs a pack or patterns")
    if guard.kind in ("moderation", "llm") and guard.upstream is None:
        yield guard.problem("", f"a guard of kind {guard.kind} needs an upstream")
    if guard.kind == "llm" and not guard.model:
        yield guard.problem("", "a guard of kind llm needs a model")
    if guard.kind == "http" and not guard.url:
        yield guard.problem("", "a guard of kind http needs a url")


def _judge(s: Settings, guard: Guard) -> Found:
    if guard.url:
        parts = urlsplit(guard.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            yield guard.problem(".url", "the url of a guard is like https://host/path")
        if parts.username or parts.password:
            yield guard.problem(".url", "credentials go into headers")
    for name, value in guard.headers.items():
        if not name.isascii() or not name.replace("-", "").isalnum() or not value.isprintable():
            yield guard.problem(f".headers.{name}", "this cannot be sent as a header")
    upstream = s.upstreams.get(guard.upstream) if guard.upstream is not None else None
    if upstream is not None and upstream.passthrough:
        yield guard.problem(
            ".upstream", f"{guard.upstream!r} takes clients' keys, and a guard has none"
        )


def _categories(guard: Guard) -> Found:
    if guard.kind != "patterns":
        return
    known = [c for pack in guard.pack for c in CATEGORIES[pack]]
    known += [rule.name for rule in guard.patterns]
    for i, name in enumerate(guard.categories):
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(known)}"
            yield guard.problem(f".categories[{i}]", f"no category is named {name!r}; {hint}")


def _patterns(guard: Guard) -> Found:
    options = re2.Options()
    options.case_sensitive = False
    options.dot_nl = True
    options.log_errors = False
    options.max_mem = MAX_MEMORY
    sources = []
    for rule in guard.patterns:
        try:
            pattern = re2.compile(rule.source, options=options)
        except re2.error as exc:
            said = exc.args[0] if exc.args else ""
            why = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
            yield rule.problem(".pattern", f"RE2 does not take this pattern: {why}")
            continue
        sources.append(f"(?:{rule.source})")
        if pattern.search("") is not None:
            yield rule.problem(".pattern", "this pattern finds something in any text")
        if rule.tests is not None:
            for i, text in enumerate(rule.tests.match):
                if pattern.search(text) is None:
                    yield rule.problem(f".tests.match[{i}]", "the pattern does not find this")
            for i, text in enumerate(rule.tests.no_match):
                if pattern.search(text) is not None:
                    yield rule.problem(f".tests.no_match[{i}]", "the pattern finds this")
    try:
        re2.compile("|".join(sources), options=options)
    except re2.error:
        yield guard.problem(".patterns", "together these are larger than RE2 takes")


def _schema(guard: Guard) -> Found:
    if guard.schema is None:
        return
    try:
        Draft202012Validator.check_schema(json.loads(guard.schema))
    except SchemaError as exc:
        where = "/".join(map(str, exc.absolute_path))
        yield guard.problem(".schema", f"this is no JSON Schema (at /{where})")
