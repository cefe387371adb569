"""What a reload cannot change: listeners, processes, what the store was opened with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar, cast

from proxy.config.kinds import settings_of
from proxy.config.nodes import Problem
from proxy.config.schema import Record, Settings

R = TypeVar("R", bound=Record)


def in_force(before: Settings, after: Settings) -> tuple[Settings, list[Problem]]:
    """``after`` with what takes a restart as it is ``before``, and a note on each of those."""
    notes: list[Problem] = []
    return _kept(before, after, notes), notes


def _kept(before: R, after: R, notes: list[Problem]) -> R:
    kept: dict[str, Any] = {}
    for name, field in settings_of(cast("type", type(after))).items():
        old, new = getattr(before, name), getattr(after, name)
        if field.metadata["restart"]:
            if old != new:
                why = "a change takes a restart; until then it stays as it was"
                notes.append(after.problem(f".{name}", why))
                kept[name] = old
        elif isinstance(old, Record) and isinstance(new, Record):
            inner = _kept(old, new, notes)
            if inner is not new:
                kept[name] = inner
    return replace(after, **kept) if kept else after
