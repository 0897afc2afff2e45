"""Line charts: where points, error bars and ticks stand in a picture of 640 x 360."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

Points = Sequence[tuple[float, float, float | None]]
"""(x, y, half the height of the error bar or ``None``), by x."""


@dataclass(frozen=True)
class Point:
    """A mark at (x, y) of the picture, with the ends of its error bar; ``told`` is shown when it is pointed at."""

    x: float
    y: float
    bar: tuple[float, float] | None
    told: str


@dataclass(frozen=True)
class Line:
    """One line; ``style`` is the class of the page that colors it."""

    style: str
    points: Sequence[Point]


@dataclass(frozen=True)
class Chart:
    """What a template draws: lines, and the places of ticks with their words."""

    title: str
    x_label: str
    y_label: str
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]
    lines: Sequence[Line]

    left: ClassVar[int] = 64
    right: ClassVar[int] = 624
    top: ClassVar[int] = 14
    bottom: ClassVar[int] = 312


def line_chart(
    series: Mapping[str, Points],
    styles: Mapping[str, str],
    title: str,
    x_label: str,
    y_label: str,
    log_x: bool = False,
) -> Chart:
    """Return a chart of lines.

    Args:
        series: points by the name of the line, one at least in all.
        styles: class of the page that colors each line.
        title: read to those who do not see it.
        x_label: what x is.
        y_label: what y is.
        log_x: whether x is on a logarithmic scale; all x must then be above 0. The x of the points are its ticks.
    """
    points = [point for line in series.values() for point in line]
    xs = sorted({x for x, _, _ in points})
    scaled = math.log if log_x else float
    x_axis = _Axis(_widened(scaled(xs[0]), scaled(xs[-1])), Chart.left, Chart.right)
    lowest, highest = min(y - (e or 0) for _, y, e in points), max(y + (e or 0) for _, y, e in points)
    y_axis = _Axis(_widened(lowest, highest), Chart.bottom, Chart.top)

    def point(name: str, x: float, y: float, error: float | None) -> Point:
        told = f"{name} at {x:.6g}: {y:.3f}" + ("" if error is None else f" ± {error:.3f}")
        return Point(x_axis(scaled(x)), y_axis(y), (y_axis(y - error), y_axis(y + error)) if error else None, told)

    x_ticks = [(x_axis(scaled(x)), f"{x:.6g}") for x in (xs if log_x else ticks(*x_axis.range))]
    return Chart(
        title,
        x_label,
        y_label,
        _apart(x_ticks),
        [(y_axis(y), f"{y:.6g}") for y in ticks(*y_axis.range)],
        [Line(styles[name], [point(name, *one) for one in line]) for name, line in series.items() if line],
    )


def ticks(low: float, high: float, number: int = 5) -> list[float]:
    """Return round numbers (1, 2 or 5 times a power of ten apart) between ``low`` and ``high``."""
    step = 10.0 ** math.floor(math.log10((high - low) / number))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= number)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


@dataclass(frozen=True)
class _Axis:
    range: tuple[float, float]
    start: float
    end: float

    def __call__(self, value: float) -> float:
        low, high = self.range
        return round(self.start + (value - low) / (high - low) * (self.end - self.start), 1)


def _widened(low: float, high: float) -> tuple[float, float]:
    """Leave air around the data; a single value gets a range of its own size."""
    margin = 0.06 * (high - low) or 0.5 * abs(high) or 0.5
    return low - margin, high + margin


def _apart(ticks: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """Keep the ticks whose numbers do not run into each other."""
    kept: list[tuple[float, str]] = []
    for tick in ticks:
        if not kept or tick[0] - kept[-1][0] > 36:
            kept.append(tick)
    return kept


__all__ = ["Chart", "Line", "Point", "Points", "line_chart", "ticks"]
