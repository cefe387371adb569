"""Node tree to frozen dataclasses, collecting every problem on the way.

The schema, not YAML, decides how a scalar is read, so ``no`` is never false
and ``12:30`` never a number.  What stands in the environment or in files is
asked of a ``Source``; its values are never repeated in a message.
"""

from __future__ import annotations

import difflib
import json
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Generic, Protocol, TypeVar

import yaml

from proxy.config.kinds import hints_of, is_record, is_required, name_of, settings_of, some_names
from proxy.config.nodes import Problem, blamed, place_of, plain
from proxy.config.units import FileSecret, JsonText, Secret

T = TypeVar("T")
K = TypeVar("K")
Reader = Callable[[str], Any]

_BAD = object()  # "a problem was noted; there is no value"
_VARIABLE = re.compile(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)(:-([^}]*))?\}|\$\{")
NULL = "tag:yaml.org,2002:null"


class Source(Protocol):
    """Where values come from that do not stand in the YAML itself."""

    def variable(self, name: str) -> str | None:
        """An environment variable."""
        ...

    def file(self, path: str) -> str:
        """What a file holds.  Raises ``OSError`` or ``ValueError``."""
        ...


@dataclass(frozen=True, slots=True)
class Bound(Generic[T]):
    """What was made of a node.

    Where there are ``problems``, ``value`` is what could be read without them,
    to look for more, and ``None`` if that is too little.  ``lost`` are the names
    that stand in the file and not in ``value``; ``notes`` say what is odd but
    allowed.
    """

    value: T | None
    problems: list[Problem]
    notes: list[Problem]
    lost: frozenset[str]


def bind(node: yaml.Node, schema: type[T], file: str, source: Source) -> Bound[T]:
    """Build ``schema`` from ``node``, as far as that goes."""
    binder = _Binder(file, source)
    value = binder.value(node, schema, "$")
    made = None if value is _BAD else typing.cast("T", value)
    return Bound(made, binder.problems, binder.notes, frozenset(binder.lost))


class _Binder:
    def __init__(self, file: str, source: Source) -> None:
        self.file = file
        self.source = source
        self.problems: list[Problem] = []
        self.notes: list[Problem] = []
        self.lost: set[str] = set()
        self.dropped = 0

    def note(self, node: yaml.Node, path: str, message: str) -> object:
        self.problems.append(Problem(place_of(node, self.file), path, message))
        return _BAD

    def value(self, node: yaml.Node, kind: Any, path: str) -> Any:
        origin = typing.get_origin(kind)
        if origin in (types.UnionType, typing.Union):
            return self._union(node, kind, path)
        if is_record(kind):
            return self._record(node, typing.cast("type", kind), path)
        if origin is tuple:
            return self._list(node, typing.get_args(kind)[0], path)
        if origin is Mapping:
            return self._mapping(node, typing.get_args(kind)[1], path)
        return self._scalar(node, kind, path)

    def _record(self, node: yaml.Node, kind: type, path: str) -> Any:
        if not isinstance(node, yaml.MappingNode):
            return self.note(node, path, f"expected a mapping with {some_names(kind)}")
        fields = settings_of(kind)
        hints = hints_of(kind)
        before = self.dropped
        given: dict[str, Any] = {}
        nodes: dict[str, yaml.Node] = {}
        for name, key, child in self._pairs(node, path):
            nodes[name] = child
            if name not in fields:
                near = difflib.get_close_matches(name, fields, 1)
                hint = f"; did you mean {near[0]!r}?" if near else f"; there is {some_names(kind)}"
                self.note(key, f"{path}.{name}", f"no such setting{hint}")
            else:
                given[name] = self.value(child, hints[name], f"{path}.{name}")
        for f in fields.values():
            if f.name not in given and is_required(f):
                given[f.name] = self.note(node, path, f"{f.name!r} is missing")
        bad = [name for name, value in given.items() if value is _BAD]
        if any(is_required(fields[name]) for name in bad) or (bad and path == "$"):
            return _BAD
        given = self._good(given)
        if "given" in kind.__dataclass_fields__:  # type: ignore[attr-defined]
            names = frozenset(given)
            given |= {"place": place_of(node, self.file), "where": path, "given": names}
        try:
            return kind(**given)
        except ValueError as exc:
            if self.dropped > before:
                # Of half a record it may not be true.
                return _BAD
            at, where = blamed(exc, nodes) or (node, "")
            return self.note(at, path + where, str(exc))

    def _good(self, values: dict[K, Any]) -> dict[K, Any]:
        good = {name: value for name, value in values.items() if value is not _BAD}
        self.dropped += len(values) - len(good)
        return good

    def _pairs(self, node: yaml.MappingNode, path: str) -> list[tuple[str, yaml.Node, yaml.Node]]:
        pairs: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, child in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.note(key, path, "expected a name before the colon")
                continue
            name = str(key.value)
            if key.tag == "tag:yaml.org,2002:merge":
                self.note(key, path, "merge keys (<<) are not supported; write the settings out")
            elif name in pairs:
                first = place_of(pairs[name][0], self.file)
                self.note(key, f"{path}.{name}", f"given twice, first in line {first.line}")
            else:
                pairs[name] = (key, child)
        return [(name, key, child) for name, (key, child) in pairs.items()]

    def _list(self, node: yaml.Node, item: Any, path: str) -> Any:
        if isinstance(node, yaml.SequenceNode):
            made = tuple(
                self.value(child, item, f"{path}[{i}]") for i, child in enumerate(node.value)
            )
        elif isinstance(node, yaml.ScalarNode) and not is_record(item):
            # One name needs no brackets.
            made = () if node.tag == NULL else (self.value(node, item, path),)
        else:
            return self.note(node, path, "expected a list")
        return tuple(self._good(dict(enumerate(made))).values())

    def _mapping(self, node: yaml.Node, item: Any, path: str) -> Any:
        if not isinstance(node, yaml.MappingNode):
            return self.note(node, path, "expected a mapping of names")
        made: dict[str, Any] = {}
        for name, _, child in self._pairs(node, path):
            made[name] = self.value(child, item, f"{path}.{name}")
        self.lost |= {name for name, value in made.items() if value is _BAD}
        return types.MappingProxyType(self._good(made))

    def _union(self, node: yaml.Node, kind: Any, path: str) -> Any:
        options = [k for k in typing.get_args(kind) if k is not type(None)]
        if (
            isinstance(node, yaml.ScalarNode)
            and node.tag == NULL
            and len(options) < len(typing.get_args(kind))
        ):
            return None
        if len(options) > 1:
            # A mapping goes to the record among the options, a scalar to the other.
            is_mapping = isinstance(node, yaml.MappingNode)
            options.sort(key=lambda k: is_record(k) is not is_mapping)
        return self.value(node, options[0], path)

    def _scalar(self, node: yaml.Node, kind: Any, path: str) -> Any:
        if isinstance(node, yaml.MappingNode):
            if kind is JsonText and [key.value for key, _ in node.value] != ["file"]:
                return JsonText(json.dumps(plain(node)))
            return self._from_file(node, kind, path)
        if not isinstance(node, yaml.ScalarNode):
            return self.note(node, path, f"expected {name_of(kind)}")
        text = self._text(node, path)
        if text is None:
            return _BAD
        if kind is FileSecret:
            return self._read_file(node, text, kind, path)
        return self._read(node, text, kind, path)

    def _read(self, node: yaml.Node, text: str, kind: Any, path: str) -> Any:
        if typing.get_origin(kind) is typing.Literal:
            choices = typing.get_args(kind)
            if text in choices:
                return text
            near = difflib.get_close_matches(text, choices, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            return self.note(node, path, f"expected one of {', '.join(choices)}{hint}")
        read = _READERS.get(kind) or kind.parse
        try:
            return read(text)
        except ValueError as exc:
            # The text may be a secret that landed in the wrong place.
            came = "" if text == node.value else " (after substitution)"
            shown = f"expected {name_of(kind)}"
            return self.note(node, path, f"{shown}{came}" if came else f"{shown}: {exc}")

    def _text(self, node: yaml.ScalarNode, path: str) -> str | None:
        missing = []

        def put(match: re.Match[str]) -> str:
            if match[0] == "$$":
                return "$"
            if match[1] is None:
                missing.append("a ${ without a name and a }")
                return ""
            value = self.source.variable(match[1]) or None
            if value is None and match[2] is None:
                missing.append(
                    f"the environment variable {match[1]} is not set; "
                    f"set it or write ${{{match[1]}:-default}}"
                )
            return match[3] or "" if value is None else value

        text = _VARIABLE.sub(put, node.value)
        for problem in missing:
            self.note(node, path, problem)
        return None if missing else text

    def _from_file(self, node: yaml.MappingNode, kind: Any, path: str) -> Any:
        pairs = self._pairs(node, path)
        if [name for name, _, _ in pairs] != ["file"] or not isinstance(
            pairs[0][2], yaml.ScalarNode
        ):
            return self.note(node, path, f"expected {name_of(kind)}, or {{file: PATH}}")
        named = self._text(pairs[0][2], path)
        return _BAD if named is None else self._read_file(node, named, kind, path)

    def _read_file(self, node: yaml.Node, named: str, kind: Any, path: str) -> Any:
        try:
            text = self.source.file(named).rstrip("\r\n")
        except FileNotFoundError:
            message = f"cannot read {named}: there is no such file"
            if kind is not FileSecret:
                return self.note(node, path, message)
            # A key that is mounted later is refused until it is there.
            place = place_of(node, self.file)
            what = "token" if path.startswith("$.jwt.") else "request with this key"
            self.notes.append(Problem(place, path, f"{message} yet; until then no {what} gets in"))
            return FileSecret("")
        except (OSError, ValueError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else str(exc)
            return self.note(node, path, f"cannot read {named}: {reason}")
        is_text = issubclass(kind, str) and not hasattr(kind, "parse")
        return kind(text) if is_text else self._read(node, text, kind, path)


def _bool(text: str) -> bool:
    if text in ("true", "false"):
        return text == "true"
    raise ValueError(f"{text!r} is neither true nor false")


def _float(text: str) -> float:
    if not re.fullmatch(r"-?\d+(\.\d+)?", text):
        raise ValueError(f"{text!r} is no number")
    return float(text)


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no such day") from None


def _int(text: str) -> int:
    if not re.fullmatch(r"-?\d{1,18}", text):
        raise ValueError(f"{text!r} is no whole number")
    return int(text)


_READERS: dict[Any, Reader] = {
    str: str, int: _int, float: _float, bool: _bool, Secret: Secret, date: _date,
}  # fmt: skip
