"""Whether an answer is the JSON that its schema asks for.

Schemas can come from clients, so they must not be able to hurt: references
are followed inside the schema only and so many times, and patterns are RE2's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, Final

import orjson
import re2
from jsonschema import Draft202012Validator, ValidationError, validators
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable

MAX_STEPS: Final = 20_000
"""Parts of a schema that are applied to one answer."""

MAX_TEXT: Final = 4 << 20


class Unusable(Exception):
    """The schema cannot be applied; the message says why."""


class _TooMuch(Exception):
    """More steps than any honest schema needs."""


def _pattern(_v: Any, source: str, text: Any, _schema: Any) -> Iterator[ValidationError]:
    if isinstance(text, str) and _regex(source).search(text) is None:
        yield ValidationError("pattern")


def _pattern_properties(
    validator: Any, patterns: Any, value: Any, _schema: Any
) -> Iterator[ValidationError]:
    if not isinstance(value, dict):
        return
    for source, schema in patterns.items():
        regex = _regex(source)
        for name, item in value.items():
            if regex.search(name) is not None:
                yield from validator.descend(item, schema)


@lru_cache(maxsize=256)
def _regex(source: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = 1 << 20
    try:
        return re2.compile(source, options=options)
    except re2.error as exc:
        raise Unusable("a pattern of the schema is none that RE2 takes") from exc


def _counted(rule: Any) -> Any:
    def apply(*arguments: Any) -> Any:
        if next(_LEFT.get(), None) is None:
            raise _TooMuch
        return rule(*arguments)

    return apply


_LEFT: Final[ContextVar[Iterator[int]]] = ContextVar("steps left")
_OWN: Final = {"pattern": _pattern, "patternProperties": _pattern_properties}
_Validator: Final = validators.extend(
    Draft202012Validator,
    {name: _counted(rule) for name, rule in {**Draft202012Validator.VALIDATORS, **_OWN}.items()},
)


class Conformity:
    """One JSON Schema, ready to be held against answers.

    Raises ``Unusable`` if it is none.
    """

    __slots__ = ("_schema",)

    def __init__(self, schema: dict[str, Any]) -> None:
        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as exc:
            where = "/".join(map(str, exc.absolute_path))
            raise Unusable(f"this is no JSON Schema (at /{where})") from exc
        except RecursionError as exc:
            raise Unusable("the schema is nested too deeply") from exc
        self._schema = schema

    def fits(self, text: str) -> bool:
        """Whether ``text`` is JSON, and such JSON.  Raises ``Unusable``."""
        if len(text) > MAX_TEXT:
            raise Unusable("the answer is too long to be checked")
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError:
            return False
        _LEFT.set(iter(range(MAX_STEPS)))
        try:
            return bool(_Validator(self._schema, registry=Registry()).is_valid(value))
        except (Unresolvable, RecursionError, _TooMuch) as exc:
            raise Unusable("the schema cannot be followed to its end") from exc


def schema_asked_for(body: dict[str, Any]) -> dict[str, Any] | None:
    """The JSON Schema in a request's own words; ``None`` if it has none.

    A request for a JSON object of any kind is one for ``{"type": "object"}``.
    """
    form = body.get("response_format")
    if not isinstance(form, dict):
        text = body.get("text")
        form = text.get("format") if isinstance(text, dict) else None
    if not isinstance(form, dict):
        return None
    if form.get("type") == "json_object":
        return {"type": "object"}
    if form.get("type") != "json_schema":
        return None
    inner = form.get("json_schema")
    schema = inner.get("schema") if isinstance(inner, dict) else form.get("schema")
    return schema if isinstance(schema, dict) else None
