"""Adding up the billing ledger: who used how much of what, and when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

DIMENSIONS: Final = ("tenant", "user", "key", "model", "route", "target", "endpoint", "day",
                     "month", "hour", "state")  # fmt: skip
MAX_REMEMBERED: Final = 100_000
MAX_GROUPS: Final = 100_000
OTHER: Final = "(other)"

_FORMATS: Final = {"day": "%Y-%m-%d", "month": "%Y-%m", "hour": "%Y-%m-%dT%H"}


@dataclass(slots=True)
class Totals:
    """What a group has used; ``nanos`` are billionths of a dollar."""

    requests: int = 0
    input: int = 0
    cached: int = 0
    output: int = 0
    nanos: int = 0
    estimated: int = 0

    @property
    def tokens(self) -> int:
        """Input and output."""
        return self.input + self.output

    def add(self, entry: Mapping[str, Any], sign: int) -> None:
        """Count an entry of the ledger in (1) or out again (-1)."""
        self.requests += sign
        self.input += sign * _number(entry, "in")
        self.cached += sign * _number(entry, "cached")
        self.output += sign * _number(entry, "out")
        self.nanos += sign * _number(entry, "nanos")
        self.estimated += sign * bool(entry.get("estimated"))


def _number(entry: Mapping[str, Any], name: str) -> int:
    value = entry.get(name)
    return value if type(value) is int else 0


class Tally:
    """Sums by ``by`` of the entries from ``since`` to before ``until`` (seconds since 1970).

    The last row of a lease is what counts: one that was abandoned may be
    settled later, and one that was sent twice may stand twice.
    """

    def __init__(
        self,
        by: Iterable[str],
        since: float = 0.0,
        until: float = float("inf"),
        only: Mapping[str, str] | None = None,
    ) -> None:
        self.by = tuple(by)
        unknown = [name for name in (*self.by, *(only or ())) if name not in DIMENSIONS]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is not one of {', '.join(DIMENSIONS)}")
        self._since = since
        self._until = until
        self._only = dict(only or {})
        self._groups: dict[tuple[str, ...], Totals] = {}
        self._rows: dict[str, Mapping[str, Any]] = {}
        self.total = Totals()

    def add(self, lease: str, state: str, entry: Mapping[str, Any]) -> None:
        """Take one row."""
        entry = {**entry, "state": state}
        before = self._rows.pop(lease, None)
        if before is not None:
            self._count(before, -1)
        if state in ("abandoned", "late"):
            if len(self._rows) >= MAX_REMEMBERED:
                del self._rows[next(iter(self._rows))]
            self._rows[lease] = entry
        self._count(entry, 1)

    def _count(self, entry: Mapping[str, Any], sign: int) -> None:
        time = entry.get("time")
        if not isinstance(time, int | float) or not self._since <= time < self._until:
            return
        names = {name: _value(entry, name, time) for name in {*self.by, *self._only}}
        if any(names[name] != value for name, value in self._only.items()):
            return
        group = tuple(names[name] for name in self.by)
        totals = self._groups.get(group)
        if totals is None:
            if len(self._groups) >= MAX_GROUPS:
                group = (OTHER,) * len(self.by)
            totals = self._groups.setdefault(group, Totals())
        totals.add(entry, sign)
        self.total.add(entry, sign)

    def rows(self) -> list[tuple[tuple[str, ...], Totals]]:
        """Groups with their sums: by time where that is asked for, else dearest first."""
        found = [(group, totals) for group, totals in self._groups.items() if totals.requests]
        if self.by and self.by[0] in _FORMATS:
            return sorted(found, key=lambda row: row[0])
        return sorted(found, key=lambda row: (-row[1].nanos, -row[1].tokens, row[0]))


def _value(entry: Mapping[str, Any], name: str, time: float) -> str:
    form = _FORMATS.get(name)
    if form is not None:
        return datetime.fromtimestamp(time, UTC).strftime(form)
    return str(entry.get(name) or "-")
