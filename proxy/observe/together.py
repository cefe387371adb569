"""The metrics of several processes as those of one, over the death of some."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from itertools import count
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

_Key = tuple[str, tuple[tuple[str, str], ...]]
"""Name and labels of a sample."""

_COUNTED: Final = frozenset({"counter", "histogram"})
"""Types of which Prometheus takes a fall for a restart."""


def _sum(one: float, other: float) -> float:
    return one + other


_JOIN: Final[dict[str, Callable[[float, float], float]]] = {
    "sidestream_store_is_up": min,
    "sidestream_store_replicas": max,
    "sidestream_switched_off": max,
    "sidestream_cache_semantic_error_at_most": max,
    "sidestream_cache_semantic_error_at_most_decided": max,
    "sidestream_cache_semantic_serves": min,
    "sidestream_cache_semantic_suspended_scopes": max,
}
"""Gauges that are no sums of what workers say."""


class _Sheet:
    """The samples of one exposition, or of several added up."""

    def __init__(self, text: str = "") -> None:
        self._families: dict[str, tuple[str, str]] = {}  # type, help
        self._samples: dict[str, dict[_Key, float]] = {}
        for family in text_string_to_metric_families(text):
            self._families[family.name] = (family.type, family.documentation)
            for sample in family.samples:
                key = (sample.name, tuple(sorted(sample.labels.items())))
                self._put(family.name, key, sample.value)

    def _put(self, family: str, key: _Key, value: float) -> None:
        found = self._samples.setdefault(family, {})
        join = _JOIN.get(key[0], _sum)
        found[key] = join(found[key], value) if key in found else value

    def add(self, other: _Sheet, *, is_alive: bool) -> None:
        """Add another; of a process that is not, only what it has counted."""
        for name, about in other._families.items():
            if is_alive or about[0] in _COUNTED:
                self._families.setdefault(name, about)
                for key, value in other._samples.get(name, {}).items():
                    self._put(name, key, value)

    def text(self) -> str:
        """The exposition."""
        lines = []
        for name, (kind, documentation) in self._families.items():
            shown = f"{name}_total" if kind == "counter" else name
            lines += [f"# HELP {shown} {documentation}", f"# TYPE {shown} {kind}"]
            for (series, labels), value in self._samples.get(name, {}).items():
                inner = ",".join(f'{k}="{_escaped(v)}"' for k, v in labels)
                lines.append(f"{series}{{{inner}}} {value!r}" if inner else f"{series} {value!r}")
        return "\n".join([*lines, ""])


class Together:
    """What processes said last, and what those had counted that are gone: no sum ever falls."""

    def __init__(self) -> None:
        self._said: dict[Hashable, tuple[int, _Sheet]] = {}
        self._turns = count()
        self._gone = _Sheet()

    def turn(self) -> int:
        """Taken before processes are asked: whose question came later has the newer answer."""
        return next(self._turns)

    def added(self, turn: int, told: dict[Hashable, str], living: Collection[Hashable]) -> str:
        """One exposition of what processes tell now.

        Of one that lives and tells nothing its counts stand as it told them last.
        """
        for process, text in told.items():
            if turn >= self._said.get(process, (0,))[0]:
                self._said[process] = turn, _Sheet(text)
        for process in self._said.keys() - living:
            self._gone.add(self._said.pop(process)[1], is_alive=False)
        total = _Sheet()
        for process, (_, sheet) in self._said.items():
            total.add(sheet, is_alive=process in told)
        total.add(self._gone, is_alive=False)
        return total.text()


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
