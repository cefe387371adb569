"""What tuning has found, as people look at it: a table, pairs, curves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from proxy.observe.curves import Curve, svg
from proxy.semantic.tuning import MOST_FALSE, Judged, Row, advice, percent

_WAYS: Final = ("without the guard", "with the guard", "words forgiven")
_WIDTH: Final = 34


@dataclass(frozen=True, slots=True)
class Tables:
    """What each threshold does: by the vectors alone, with the guard beside them, and
    where the guard forgives from that threshold on.
    """

    at: Sequence[float]
    plain: Sequence[Row]
    guarded: Sequence[Row]
    forgiven: Sequence[Row]


def as_text(tables: Tables) -> str:
    """The tables side by side, and what follows from each."""
    found = tables.plain, tables.guarded, tables.forgiven
    lines = [
        " " * 9 + "".join(f"{way:>{_WIDTH}}" for way in _WAYS),
        "threshold" + f"{'hits  false hits  precision':>{_WIDTH}}" * len(_WAYS),
    ]
    for threshold, *of in zip(tables.at, *found, strict=True):
        lines.append(f"{threshold:9.3f}" + "".join(f"{_cells(row):>{_WIDTH}}" for row in of))
    lines.append(f"\nlowest threshold with at most {MOST_FALSE:.0%} false hits:")
    lines += [f"  {way:17}  {advice(of)}" for way, of in zip(_WAYS, found, strict=True)]
    return "\n".join(lines) + "\n"


def _cells(row: Row) -> str:
    return f"{percent(row.recall):>7}  {percent(row.false_rate):>10}  {percent(row.precision):>9}"


def listed(found: Iterable[Judged], heading: str) -> Iterator[str]:
    """Pairs, and what the guard says of each."""
    for i, one in enumerate(found):
        if i == 0:
            yield f"\n{heading}, and what it says:\n"
        a, b = (orjson.dumps(text).decode() for text in (one.pair.a, one.pair.b))
        yield f"  {one.cosine:.4f}  {one.why or '-':12}  {a}  {b}\n"


def drawn(name: str, tables: Tables) -> str:
    """Curves of the first two, as an SVG."""
    curves = []
    for how, table, dashed in (("with", tables.guarded, False), ("without", tables.plain, True)):
        hits = [row.recall or 0.0 for row in table]
        false = [row.false_rate or 0.0 for row in table]
        curves.append(Curve(f"hits, {how} the guard", hits, is_good=True, is_dashed=dashed))
        curves.append(Curve(f"false hits, {how} the guard", false, is_good=False, is_dashed=dashed))
    title = (
        f"Thresholds on {name}: {tables.plain[0].same} same, {tables.plain[0].different} different"
    )
    return svg(title, "least cosine similarity", tables.at, curves, MOST_FALSE)
