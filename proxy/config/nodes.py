"""YAML text to a tree of nodes that know where they were written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from proxy.config.units import WrongSetting

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

MAX_TEXT = 4 << 20
MAX_NODES = 200_000
"""Nodes of a tree with its aliases followed; more is a bomb or a mistake."""

MAX_DEPTH = 60


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where in which file.  Sorts in reading order."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


_JSON_WORD = re.compile(r"true|false|null|-?(0|[1-9]\d{0,17})(\.\d{1,17})?([eE][+-]?\d{1,2})?")
NOWHERE = Place("", 0, 0)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the configuration."""

    place: Place
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.path}: {self.message}"


class ConfigError(Exception):
    """All that is wrong with a configuration, in reading order."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(problems, key=lambda p: p.place)
        super().__init__("\n".join(map(str, self.problems)))


def refuse(file: str, message: str, line: int = 1, column: int = 1) -> ConfigError:
    """An error with a single problem, about the file as a whole."""
    return ConfigError([Problem(Place(file, line, column), "$", message)])


def parse(text: str, file: str) -> yaml.Node:
    """The one document in ``text``.  Raises ``ConfigError``."""
    if len(text) > MAX_TEXT:
        raise refuse(file, f"the file is over {MAX_TEXT >> 20} MiB")
    try:
        _bound_depth(text, file)
        node = yaml.compose(text, _Loader)
    except yaml.MarkedYAMLError as exc:
        place = _line_and_column(exc.problem_mark)
        what = exc.problem or "this is not YAML"
        if "another document" in what:
            what = "a second document begins here; one file holds one"
        elif "expected ',' or '}'" in what and _has_variable(text, place[0]):
            what += '; between braces a variable stands in quotes: {key: "${NAME}"}'
        raise refuse(file, what, *place) from exc
    except yaml.reader.ReaderError as exc:
        line = text.count("\n", 0, exc.position) + 1
        raise refuse(file, "a character that YAML does not allow", line) from exc
    if node is None:
        raise refuse(file, "the file is empty; see config/sidestream.yaml for an example")
    _bound(node, file)
    return node


def _has_variable(text: str, line: int) -> bool:
    return any("${" in found for found in text.splitlines()[line - 1 : line])


def _line_and_column(mark: Any) -> tuple[int, int]:
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


def _bound_depth(text: str, file: str) -> None:
    """Refuse what is nested so deeply that composing it would end the process."""
    depth = 0
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise refuse(file, "nested too deeply", *_line_and_column(event.start_mark))
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _bound(root: yaml.Node, file: str) -> None:
    """Refuse trees that aliases make endless, huge or deep."""
    todo = [(root, 0)]
    count = 0
    while todo:
        node, depth = todo.pop()
        count += 1
        if count > MAX_NODES or depth > MAX_DEPTH:
            place = place_of(node, file)
            raise refuse(file, "aliases make this too large", place.line, place.column)
        if isinstance(node, yaml.MappingNode):
            todo += [(part, depth + 1) for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            todo += [(item, depth + 1) for item in node.value]


def plain(node: yaml.Node) -> Any:
    """A node as JSON would have it: only ``true``, ``false``, ``null`` and
    numbers are read as such, and only where they are not quoted.
    """
    if isinstance(node, yaml.MappingNode):
        return {str(key.value): plain(child) for key, child in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [plain(child) for child in node.value]
    text = str(node.value)
    is_bare = isinstance(node, yaml.ScalarNode) and node.style is None
    return json.loads(text) if is_bare and _JSON_WORD.fullmatch(text) else text


def place_of(node: yaml.Node, file: str) -> Place:
    """Where a node begins."""
    return Place(file, node.start_mark.line + 1, node.start_mark.column + 1)


def blamed(exc: ValueError, nodes: Mapping[str, yaml.Node]) -> tuple[yaml.Node, str] | None:
    """The node of the setting that is wrong, and its path in the record."""
    if not isinstance(exc, WrongSetting):
        return None
    at = nodes[exc.name]
    if exc.index is None or not isinstance(at, yaml.SequenceNode):
        return at, f".{exc.name}"
    return at.value[exc.index], f".{exc.name}[{exc.index}]"
