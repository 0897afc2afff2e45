"""What a report shows of one task: rows, curves, means over seeds, pictures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from monai_ssl.study.comparison import Row
from monai_ssl.study.hard_cases import hard_and_easy_gains
from monai_ssl.study.report.charts import Chart, Points, line_chart
from monai_ssl.study.report.pictures import case_pictures
from monai_ssl.study.report.text import count
from monai_ssl.study.results import Cell
from monai_ssl.study.tuning import Tried

_COLORS = 8
"""Colors of lines in the page's style; beyond them they come again, dashed."""
Figures = list[tuple[Chart, str]]
"""Charts with their captions."""


@dataclass(frozen=True)
class ArmMeans:
    """Means over the seeds of an arm: by class; with batch norm as trained, of the target, their distance; by trial."""

    scheme: str
    labels: int
    method: str
    scratch: bool
    per_class: Mapping[str, float]
    of_target: tuple[float, float, float] | None
    tuning: tuple[Tried, ...] = ()


def styles(cells: Sequence[Cell]) -> dict[str, str]:
    """Return the class of each method's lines; those from scratch have the color of the text."""
    from_scratch = sorted({cell.method for cell in cells if cell.is_scratch})
    others = sorted({cell.method for cell in cells} - set(from_scratch))
    found = {name: "s0 again" if i == 0 else "s0 faint again" for i, name in enumerate(from_scratch)}
    return found | {name: f"s{i % _COLORS + 1}{' again' if i >= _COLORS else ''}" for i, name in enumerate(others)}


def task_part(
    rows: Sequence[Row], cells: Sequence[Cell], styles: Mapping[str, str], hard_cutoff: float | None = None
) -> dict[str, Any]:
    """Return what the template of a task shows.

    Args:
        rows: of the task.
        cells: of the task.
        styles: class of each method's lines.
        hard_cutoff: score up to which a test case counts as hard; ``None`` for no division.
    """
    return {
        "rows": rows,
        "efficiency": _label_efficiency(rows, styles),
        "curves": _learning_curves(cells, styles),
        "classes": sorted({name for cell in cells for name in cell.per_class}),
        "arms": _arms(cells),
        "pictures": case_pictures(cells),
        "hard_cutoff": hard_cutoff,
        "hard_and_easy": [] if hard_cutoff is None else hard_and_easy_gains(rows, cells, hard_cutoff),
    }


def _label_efficiency(rows: Sequence[Row], styles: Mapping[str, str]) -> Figures:
    if len({row.labels for row in rows}) < 2:
        return []
    figures = []
    for scheme in dict.fromkeys(row.scheme for row in rows):
        wanted = {row.baseline for row in rows if row.scheme == scheme}
        of_scheme = [row for row in rows if row.scheme == scheme or (row.scheme, row.method) in wanted]
        series: dict[str, list[tuple[float, float, float | None]]] = defaultdict(list)
        for row in of_scheme:
            series[row.method].append((row.labels, row.mean, row.sd))
        title = f"{rows[0].metric} by labels, {scheme}"
        log = min(row.labels for row in of_scheme) > 0
        chart = line_chart(series, styles, title, "labeled patients", rows[0].metric, log_x=log)
        figures.append((chart, f"{scheme}: mean over seeds, bars are one standard deviation."))
    return figures


def _learning_curves(cells: Sequence[Cell], styles: Mapping[str, str]) -> Figures:
    groups: dict[tuple[str, int], dict[str, list[Cell]]] = defaultdict(lambda: defaultdict(list))
    for cell in cells:
        if cell.curve:
            groups[cell.scheme, cell.labels][cell.method].append(cell)
    figures = []
    for (scheme, labels), members in sorted(groups.items()):
        name = f"{scheme}, {count(labels, 'label')}"
        series = {method: _mean_curve(runs) for method, runs in sorted(members.items())}
        chart = line_chart(series, styles, f"Learning curves, {name}", "step", f"{cells[0].metric}, validation")
        figures.append((chart, f"{name}: mean over the seeds that have the step."))
    return figures


def _mean_curve(runs: Sequence[Cell]) -> Points:
    values: dict[float, list[float]] = defaultdict(list)
    for run in runs:
        for step, value in run.curve:
            values[step].append(value)
    return [(step, float(np.mean(found)), None) for step, found in sorted(values.items())]


def _arms(cells: Sequence[Cell]) -> list[ArmMeans]:
    arms: dict[tuple[str, int, bool, str], list[Cell]] = defaultdict(list)
    for cell in cells:
        arms[cell.scheme, cell.labels, not cell.is_scratch, cell.method].append(cell)
    return [
        ArmMeans(scheme, labels, method, not pretrained, _by_class(members), _of_target(members), members[0].tuning)
        for (scheme, labels, pretrained, method), members in sorted(arms.items())
    ]


def _by_class(cells: Sequence[Cell]) -> dict[str, float]:
    names = {name for cell in cells for name in cell.per_class}
    return {name: float(np.mean([c.per_class[name] for c in cells if name in c.per_class])) for name in names}


def _of_target(cells: Sequence[Cell]) -> tuple[float, float, float] | None:
    found = [(c.score, c.score_target_bn, c.bn_distance) for c in cells]
    asked = [values for values in found if None not in values]
    return tuple(np.mean(np.array(asked, float), axis=0).tolist()) if asked else None


__all__ = ["ArmMeans", "styles", "task_part"]
