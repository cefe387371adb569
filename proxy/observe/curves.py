"""Curves of shares as an SVG that stands alone and follows light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH: Final = 760
HEIGHT: Final = 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 20, 78, 56
_ACROSS: Final = WIDTH - _LEFT - _RIGHT
_DOWN: Final = HEIGHT - _TOP - _BOTTOM

_STYLE: Final = """\
svg { font: 13px system-ui, sans-serif; }
.ground { fill: #ffffff; } text { fill: #24292f; } .title { font-size: 15px; font-weight: 600; }
.grid { stroke: #d8dee4; } .axis { stroke: #57606a; } .bound { stroke: #57606a; stroke-dasharray: 2 4; }
.curve { fill: none; stroke-width: 2.2; stroke-linejoin: round; }
.good { stroke: #0b62c4; } .bad { stroke: #b83a0c; } .dashed { stroke-dasharray: 7 5; }
@media (prefers-color-scheme: dark) {
  .ground { fill: #0d1117; } text { fill: #e6edf3; }
  .grid { stroke: #30363d; } .axis, .bound { stroke: #9198a1; }
  .good { stroke: #6cb6ff; } .bad { stroke: #ff9e64; }
}"""  # noqa: E501 - style sheets are read by rule


@dataclass(frozen=True, slots=True)
class Curve:
    """Shares, 0 to 1, one for each place along.

    ``is_good`` says whether more is better, ``is_dashed`` tells apart two of a kind.
    """

    name: str
    shares: Sequence[float]
    is_good: bool
    is_dashed: bool

    @property
    def classes(self) -> str:
        """How it is drawn."""
        return f"curve {'good' if self.is_good else 'bad'}{' dashed' if self.is_dashed else ''}"


def svg(
    title: str, along: str, at: Sequence[float], curves: Sequence[Curve], bound: float | None = None
) -> str:
    """The picture: ``at`` along the bottom, named ``along``; shares upwards.

    ``bound`` is a share that is marked by a line.
    """
    low, high = at[0], at[-1]
    span = high - low or 1.0

    def x(value: float) -> float:
        return _LEFT + (value - low) / span * _ACROSS

    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{HEIGHT}"/>',
        f'<text class="title" x="{_LEFT}" y="24">{escape(title)}</text>',
    ]
    for percent in range(0, 101, 20):
        parts.append(_level(percent / 100, "axis" if percent == 0 else "grid"))
        parts.append(_label(_LEFT - 8, _y(percent / 100) + 4, f"{percent} %", "end"))
    for i in range(6):
        value = low + (high - low) * i / 5
        parts.append(_label(x(value), HEIGHT - _BOTTOM + 20, f"{value:.3g}", "middle"))
    parts.append(_label(_LEFT + _ACROSS / 2, HEIGHT - 14, along, "middle"))
    if bound is not None:
        parts.append(_level(bound, "bound"))
    for i, curve in enumerate(curves):
        places = " ".join(
            f"{x(a):.1f},{_y(share):.1f}" for a, share in zip(at, curve.shares, strict=True)
        )
        parts.append(f'<polyline class="{curve.classes}" points="{places}"/>')
        parts.append(_legend(i, curve))
    return "\n".join([*parts, "</svg>\n"])


def _y(share: float) -> float:
    return _TOP + (1 - share) * _DOWN


def _level(share: float, kind: str) -> str:
    y = _y(share)
    return f'<line class="{kind}" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'


def _label(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _legend(place: int, curve: Curve) -> str:
    x, y = _LEFT + place % 2 * 300, 42 + place // 2 * 19
    return (
        f'<line class="{curve.classes}" x1="{x}" x2="{x + 34}" y1="{y}" y2="{y}"/>'
        f"{_label(x + 42, y + 4, curve.name, 'start')}"
    )
