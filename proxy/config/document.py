"""The schema as editors and people read it: JSON Schema and a manual."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from datetime import date
from functools import cache
from typing import Any

from proxy.config.kinds import hints_of, is_record, is_required, name_of, settings_of
from proxy.config.schema import Settings
from proxy.config.units import FileSecret, JsonText, Secret

_VARIABLE = r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}"


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a configuration file."""
    definitions: dict[str, Any] = {}
    for kind in records():
        definitions[kind.__name__] = _record(kind)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Sidestream",
        "$ref": "#/$defs/Settings",
        "$defs": definitions,
    }


@cache
def records() -> tuple[type, ...]:
    """Every record, the root first, in the order in which they are met."""
    found: list[type] = []
    todo: list[Any] = [Settings]
    while todo:
        kind = todo.pop(0)
        if is_record(kind):
            if kind not in found:
                found.append(typing.cast("type", kind))
                todo += [hints_of(typing.cast("type", kind))[name] for name in
                         settings_of(typing.cast("type", kind))]  # fmt: skip
        else:
            todo += typing.get_args(kind)
    return tuple(found)


def _record(kind: type) -> dict[str, Any]:
    fields = settings_of(kind)
    properties = {}
    for name, f in fields.items():
        properties[name] = _kind(hints_of(kind)[name]) | {"description": f.metadata["text"]}
    schema: dict[str, Any] = {
        "type": "object",
        "description": prose(kind),
        "properties": properties,
        "additionalProperties": False,
    }
    required = [name for name, f in fields.items() if is_required(f)]
    return schema | ({"required": required} if required else {})


def _kind(kind: Any) -> dict[str, Any]:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return {"anyOf": [_kind(k) for k in arguments if k is not type(None)]
                + [{"type": "null"}] * (type(None) in arguments)}  # fmt: skip
    if origin is tuple:
        one = _kind(arguments[0])
        return {"anyOf": [{"type": "array", "items": one}, one]}
    if origin is Mapping:
        return {"type": "object", "additionalProperties": _kind(arguments[1])}
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if is_record(kind):
        return {"$ref": f"#/$defs/{typing.cast('type', kind).__name__}"}
    return _scalar(kind)


def _scalar(kind: Any) -> dict[str, Any]:
    variable = {"type": "string", "pattern": _VARIABLE}
    if kind in (str, Secret):
        return {"anyOf": [{"type": ["string", "number", "boolean"]}, _FILE]}
    if kind is FileSecret:
        return {"type": "string"}
    if kind is JsonText:
        return {"type": ["object", "string"]}
    if kind is bool:
        return {"anyOf": [{"type": "boolean"}, variable]}
    if kind in (int, float):
        return {"anyOf": [{"type": "integer" if kind is int else "number"}, variable]}
    if kind is date:
        return {"anyOf": [{"type": "string", "pattern": r"^\d{4}-\d\d-\d\d$"}, variable]}
    # YAML reads a plain number as one; with its unit it is text.
    text = {"type": "string", "pattern": f"^({kind.pattern})$"}
    return {"anyOf": [text, {"type": "number"}, variable]}


_FILE = {
    "type": "object",
    "properties": {"file": {"type": "string"}},
    "required": ["file"],
    "additionalProperties": False,
}


def reference() -> str:
    """The manual of all settings, as Markdown."""
    parts = ["# Configuration reference", "",
             "Made from the schema by `make generate`; `config/sidestream.yaml` shows it in use.",
             ""]  # fmt: skip
    for kind in records():
        title = "The file" if kind is Settings else kind.__name__
        parts += [f"## {title}", "", prose(kind), ""]
        parts += ["| setting | takes | default | meaning |", "|---|---|---|---|"]
        for name, f in settings_of(kind).items():
            takes = _takes(hints_of(kind)[name])
            parts.append(f"| `{name}` | {takes} | {_default(f)} | {f.metadata['text']} |")
        parts.append("")
    return "\n".join(parts)


def prose(kind: type) -> str:
    """A record's docstring as one run of text."""
    return " ".join((kind.__doc__ or "").replace("``", "`").split())


def _takes(kind: Any) -> str:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_takes(k) for k in arguments if k is not type(None))
    if origin is tuple:
        return f"list of {_takes(arguments[0])}"
    if origin is Mapping:
        return f"names to {_takes(arguments[1])}"
    if origin is typing.Literal:
        return ", ".join(f"`{a}`" for a in arguments)
    if is_record(kind):
        name = typing.cast("type", kind).__name__
        return f"[{name}](#{name.lower()})"
    return name_of(kind)


def _default(f: dataclasses.Field[Any]) -> str:
    if is_required(f):
        return "needed"
    value = f.default if f.default is not dataclasses.MISSING else None
    if value in (None, "", ()):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(f"`{v}`" for v in value)
    return f"`{value.reveal() if isinstance(value, Secret) else value}`"
