"""Line charts as SVG that stands in a page: it takes its colors from the page and needs nothing from outside."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 640, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 14, 48


@dataclass(frozen=True)
class Series:
    """One line.

    Args:
        name: shown when a point is pointed at.
        style: class of the page that colors it.
        points: (x, y, half the height of the error bar or ``None``), by x.
    """

    name: str
    style: str
    points: Sequence[tuple[float, float, float | None]]


def line_chart(series: Sequence[Series], title: str, x_label: str, y_label: str, log_x: bool = False) -> str:
    """Draw lines into one SVG element.

    Args:
        series: lines; those without points are left out.
        title: read to those who do not see it.
        x_label: what x is.
        y_label: what y is.
        log_x: whether x is on a logarithmic scale; all x must then be above 0. The x of the points are its ticks.

    Returns:
        The element, or an empty text where there is no point.
    """
    points = [point for line in series for point in line.points]
    if not points:
        return ""
    xs = sorted({x for x, _, _ in points})
    frame = _Frame(
        _widened(*(_scaled(x, log_x) for x in (xs[0], xs[-1]))),
        _widened(min(y - (e or 0) for _, y, e in points), max(y + (e or 0) for _, y, e in points)),
        log_x,
    )
    parts = [f'<svg class="chart" role="img" viewBox="0 0 {_WIDTH} {_HEIGHT}"><title>{escape(title)}</title>']
    parts += [frame.y_tick(tick) for tick in ticks(*frame.y_range)]
    parts += [frame.x_tick(tick) for tick in (_apart(xs, frame) if log_x else ticks(*frame.x_range))]
    parts.append(f'<text class="axis" x="{(_LEFT + _WIDTH) / 2:.0f}" y="{_HEIGHT - 8}">{escape(x_label)}</text>')
    middle = (_TOP + _HEIGHT - _BOTTOM) / 2
    parts.append(f'<text class="axis" transform="translate(16 {middle:.0f}) rotate(-90)">{escape(y_label)}</text>')
    parts += [frame.line(line) for line in series if line.points]
    return "".join(parts) + "</svg>"


def ticks(low: float, high: float, number: int = 5) -> list[float]:
    """Return round numbers (1, 2 or 5 times a power of ten apart) between ``low`` and ``high``."""
    step = 10.0 ** math.floor(math.log10((high - low) / number))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= number)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


@dataclass(frozen=True)
class _Frame:
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    log_x: bool

    def x(self, value: float) -> float:
        low, high = self.x_range
        return _LEFT + (_scaled(value, self.log_x) - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self.y_range
        return _HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    def y_tick(self, value: float) -> str:
        y = f"{self.y(value):.1f}"
        return (
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>'
            f'<text class="tick left" x="{_LEFT - 8}" y="{y}" dy=".35em">{value:.6g}</text>'
        )

    def x_tick(self, value: float) -> str:
        return f'<text class="tick" x="{self.x(value):.1f}" y="{_HEIGHT - _BOTTOM + 20}">{value:.6g}</text>'

    def line(self, line: Series) -> str:
        at = [(self.x(x), self.y(y), y, e, x) for x, y, e in line.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y, *_ in at)
        marks = []
        for x, y, value, error, original in at:
            if error:
                low, high = self.y(value - error), self.y(value + error)
                marks.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>')
            told = f"{line.name} at {original:.6g}: {value:.3f}" + ("" if error is None else f" ± {error:.3f}")
            marks.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{escape(told)}</title></circle>')
        return f'<g class="series {line.style}"><polyline points="{path}"/>{"".join(marks)}</g>'


def _scaled(value: float, log: bool) -> float:
    return math.log(value) if log else value


def _widened(low: float, high: float) -> tuple[float, float]:
    """Leave air around the data; a single value gets a range of its own size."""
    margin = 0.06 * (high - low) or 0.5 * abs(high) or 0.5
    return low - margin, high + margin


def _apart(xs: Sequence[float], frame: _Frame) -> list[float]:
    """Keep the ticks whose numbers do not run into each other."""
    kept: list[float] = []
    for x in xs:
        if not kept or frame.x(x) - frame.x(kept[-1]) > 36:
            kept.append(x)
    return kept


__all__ = ["Series", "line_chart", "ticks"]
