"""What kinds of values the schema has, and what people call them."""

from __future__ import annotations

import dataclasses
import typing
from datetime import date
from functools import cache
from typing import Any

from proxy.config.units import FileSecret, JsonText, Secret


def is_record(kind: Any) -> bool:
    """Whether a kind is written as a mapping; units are written as text."""
    return dataclasses.is_dataclass(kind) and not hasattr(kind, "parse")


@cache
def hints_of(kind: type) -> dict[str, Any]:
    """Types of a record's fields."""
    return typing.get_type_hints(kind)


@cache
def settings_of(kind: type) -> dict[str, dataclasses.Field[Any]]:
    """The fields of a record that a user can write."""
    return {
        f.name: f
        for f in dataclasses.fields(kind)
        if f.name not in ("place", "where", "given") and f.init
    }


def is_required(f: dataclasses.Field[Any]) -> bool:
    """Whether a setting has no default."""
    return f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING


def some_names(kind: type) -> str:
    """The first settings of a record, for a message."""
    names = list(settings_of(kind))
    return ", ".join(names[:8]) + (" …" if len(names) > 8 else "")


def name_of(kind: Any) -> str:
    """What a user calls a kind of value."""
    plain = {str: "text", int: "a whole number", float: "a number", bool: "true or false",
             date: "a date like 2027-01-01", Secret: "text", FileSecret: "a path",
             JsonText: "a JSON object"}  # fmt: skip
    if kind in plain:
        return plain[kind]
    name = getattr(kind, "__name__", "one of a few words").lower()
    return {"money": "an amount", "address": "an address", "percent": "a percentage"}.get(
        name, f"a {name}"
    )
