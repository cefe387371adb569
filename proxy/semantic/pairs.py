"""Pairs of questions that people have judged: whether both ask the same.

As JSON lines ``{"a": "...", "b": "...", "same": true}``, or as CSV whose header
names a, b and same; more columns or names do no harm.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson

_YES: Final = {"true", "yes", "1"}
_NO: Final = {"false", "no", "0"}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two questions, and whether the answer to one answers the other."""

    a: str
    b: str
    same: bool


class BadPairs(Exception):
    """What is wrong with the pairs: line numbers from 1, and what stands there."""

    def __init__(self, problems: list[tuple[int, str]]) -> None:
        self.problems = problems
        super().__init__(f"{len(problems)} lines are no pairs")


def read_pairs(text: str, *, is_csv: bool) -> list[Pair]:
    """The pairs of a file.  Raises ``BadPairs`` with every bad line."""
    pairs = []
    problems = []
    for line, found in _csv_rows(text) if is_csv else _json_rows(text):
        made = found if isinstance(found, str) else _pair(found)
        if isinstance(made, str):
            problems.append((line, made))
        else:
            pairs.append(made)
    if not pairs and not problems:
        problems.append((1, "no pairs in this file"))
    if problems:
        raise BadPairs(problems)
    return pairs


def _json_rows(text: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    for line, row in enumerate(text.split("\n"), 1):
        if not row.strip():
            continue
        try:
            found = orjson.loads(row)
        except orjson.JSONDecodeError as exc:
            yield line, f"not JSON: {exc.msg}"
            continue
        yield line, found if isinstance(found, dict) else "not an object"


def _csv_rows(text: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        missing = {"a", "b", "same"}.difference(reader.fieldnames or ())
        if missing:
            yield 1, f"the header has no column {', '.join(sorted(missing))}"
            return
        for row in reader:
            yield reader.line_num, row
    except csv.Error as exc:
        yield reader.reader.line_num, f"not CSV: {exc}"


def _pair(row: dict[str, Any]) -> Pair | str:
    """A pair, or what is wrong with it."""
    for name in ("a", "b"):
        if not isinstance(row.get(name), str) or not row[name].strip():
            return f"{name} must be a text"
    word = str(row.get("same")).strip().lower()
    if word not in _YES | _NO:
        return "same must be true or false"
    return Pair(row["a"], row["b"], word in _YES)
