"""The part of a report about one task: table, curves, classes, pictures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from html import escape

import numpy as np

from monai_ssl.study.comparison import Row
from monai_ssl.study.report.charts import Series, line_chart
from monai_ssl.study.report.page import COLORS, cell, folded, paragraph, table
from monai_ssl.study.report.pictures import CasePicture, case_pictures
from monai_ssl.study.report.text import count, in_short, number, p_value, saving
from monai_ssl.study.results import Cell

_MARKS = {"better": "▲ better", "worse": "▼ worse", "unclear": "unclear", "not tested": "not tested", "": ""}
_HEAD = (
    "Scheme",
    "Labels",
    "Method",
    "Mean",
    "SD",
    "Seeds",
    "To scratch",
    "95 % CI",
    "Patients",
    "p (Holm)",
    "Rank-biserial",
    "Verdict",
    "Labels from scratch for this score",
)


def styles(cells: Sequence[Cell]) -> dict[str, str]:
    """Return the class of each method's lines; those from scratch have the color of the text."""
    from_scratch = sorted({cell.method for cell in cells if cell.is_scratch})
    others = sorted({cell.method for cell in cells} - set(from_scratch))
    found = {name: "s0 again" if i == 0 else "s0 faint again" for i, name in enumerate(from_scratch)}
    return found | {name: f"s{i % COLORS + 1}{' again' if i >= COLORS else ''}" for i, name in enumerate(others)}


def task_section(rows: Sequence[Row], cells: Sequence[Cell], colors: Mapping[str, str]) -> str:
    """Return the section of one task.

    Args:
        rows: of the task.
        cells: of the task.
        colors: class of each method's lines.
    """
    better = "more is better" if rows[0].higher_is_better else "less is better"
    parts = [
        f"<h2>{escape(rows[0].task)}</h2>",
        paragraph(f"Score: {rows[0].metric}, {better}."),
        paragraph(in_short(rows)),
        paragraph(_about_baselines(rows), "faint"),
        _scores(rows),
        _key(rows, colors),
        _label_efficiency(rows, colors),
        folded("Learning curves", _learning_curves(cells, colors)),
        folded("Scores by class", _by_class(cells)),
        folded("Batch norm statistics of the target", _by_statistics(cells)),
        folded("Test cases: truth on the left, prediction on the right", _pictures(cells)),
    ]
    return "<section>" + "\n".join(parts) + "</section>"


def _about_baselines(rows: Sequence[Row]) -> str:
    other = sorted({row.scheme for row in rows if row.baseline and row.baseline[0] != row.scheme})
    text = "Each method is compared with the same network from scratch on the same labels and seeds"
    return f"{text}; {', '.join(other)} with the one that trains everything." if other else f"{text}."


def _scores(rows: Sequence[Row]) -> str:
    lines = []
    for row in rows:
        test = row.paired
        line = [row.scheme, str(row.labels), row.method, number(row.mean), number(row.sd), str(row.seeds)]
        line.append(number(row.difference, signed=True))
        interval = f"{number(test.low, True)} to {number(test.high, True)}" if test else "–"
        line += [interval, str(test.n) if test else "–", p_value(row.p_holm)]
        line += [number(test.rank_biserial, True) if test and test.test != "t" else "–"]
        line += [cell(_MARKS[row.verdict], f"text {row.verdict}".strip()), saving(row)]
        lines.append(("scratch" if row.scratch else "", line))
    return table(_HEAD, lines, (0, 2, 11, 12), f"Scores of {rows[0].task}")


def _key(rows: Sequence[Row], colors: Mapping[str, str]) -> str:
    names = dict.fromkeys(row.method for row in rows)
    entries = "".join(f'<li class="{colors[name]}"><span>{escape(name)}</span></li>' for name in names)
    return f'<ul class="key">{entries}</ul>'


def _label_efficiency(rows: Sequence[Row], colors: Mapping[str, str]) -> str:
    if len({row.labels for row in rows}) < 2:
        return ""
    figures = []
    for scheme in dict.fromkeys(row.scheme for row in rows):
        wanted = {row.baseline for row in rows if row.scheme == scheme}
        of_scheme = [row for row in rows if row.scheme == scheme or (row.scheme, row.method) in wanted]
        series = [
            Series(name, colors[name], [(r.labels, r.mean, r.sd) for r in of_scheme if r.method == name])
            for name in dict.fromkeys(row.method for row in of_scheme)
        ]
        log = min(row.labels for row in of_scheme) > 0
        title = f"{rows[0].metric} by labels, {scheme}"
        chart = line_chart(series, title, "labeled patients", rows[0].metric, log_x=log)
        figures.append(_figure(chart, f"{scheme}: mean over seeds, bars are one standard deviation."))
    return f'<div class="charts">{"".join(figures)}</div>'


def _learning_curves(cells: Sequence[Cell], colors: Mapping[str, str]) -> str:
    groups: dict[tuple[str, int], dict[str, list[Cell]]] = defaultdict(lambda: defaultdict(list))
    for one in cells:
        if one.curve:
            groups[one.scheme, one.labels][one.method].append(one)
    figures = []
    for (scheme, labels), members in sorted(groups.items()):
        series = [Series(name, colors[name], _mean_curve(runs)) for name, runs in sorted(members.items())]
        name = f"{scheme}, {count(labels, 'label')}"
        chart = line_chart(series, f"Learning curves, {name}", "step", f"{cells[0].metric}, validation")
        figures.append(_figure(chart, f"{name}: mean over the seeds that have the step."))
    return f'<div class="charts curves">{"".join(figures)}</div>' if figures else ""


def _mean_curve(runs: Sequence[Cell]) -> list[tuple[float, float, float | None]]:
    values: dict[float, list[float]] = defaultdict(list)
    for run in runs:
        for step, value in run.curve:
            values[step].append(value)
    return [(step, float(np.mean(found)), None) for step, found in sorted(values.items())]


def _by_class(cells: Sequence[Cell]) -> str:
    names = sorted({name for one in cells for name in one.per_class})
    if not names:
        return ""
    lines = []
    for style, where, members in _arms(cells):
        found = [[m.per_class[name] for m in members if name in m.per_class] for name in names]
        lines.append((style, [*where, *(number(float(np.mean(values)) if values else None) for values in found)]))
    head = ("Scheme", "Labels", "Method", *names)
    return paragraph("Means over seeds.") + table(head, lines, (0, 2), "Scores by class")


def _by_statistics(cells: Sequence[Cell]) -> str:
    lines = []
    for style, where, members in _arms([one for one in cells if None not in (one.score_target_bn, one.bn_distance)]):
        mixed, target, distance = (
            float(np.mean([getattr(one, name) for one in members]))
            for name in ("score", "score_target_bn", "bn_distance")
        )
        values = number(mixed), number(target), number(target - mixed, signed=True), f"{distance:.3g}"
        lines.append((style, [*where, *values]))
    if not lines:
        return ""
    said = (
        "Means over seeds of the same networks with the running statistics that fine-tuning left, and with those of "
        "training images of the target alone; the distance between both is summed over the encoder's layers."
    )
    head = ("Scheme", "Labels", "Method", "As trained", "Of the target", "Difference", "Distance")
    return paragraph(said) + table(head, lines, (0, 2), "Scores by batch norm statistics")


def _arms(cells: Sequence[Cell]) -> Iterator[tuple[str, list[str], list[Cell]]]:
    """Yield the style of its line in a table, its scheme, labels and method, and the cells of each arm of a task."""
    arms: dict[tuple[str, int, bool, str], list[Cell]] = defaultdict(list)
    for one in cells:
        arms[one.scheme, one.labels, not one.is_scratch, one.method].append(one)
    for (scheme, labels, pretrained, method), members in sorted(arms.items()):
        yield "" if pretrained else "scratch", [scheme, str(labels), method], members


def _pictures(cells: Sequence[Cell]) -> str:
    groups: dict[str, list[CasePicture]] = defaultdict(list)
    for picture in case_pictures(cells):
        groups[picture.name].append(picture)
    return "".join(
        f'<h3>{escape(name)}</h3><div class="pictures">{"".join(_picture(one) for one in found)}</div>'
        for name, found in groups.items()
    )


def _picture(picture: CasePicture) -> str:
    cell = picture.cell
    score = f" {number(cell.per_case[picture.name])}" if picture.name in cell.per_case else ""
    told = f"{cell.method}, {cell.scheme}, {count(cell.labels, 'label')}, seed {cell.seed}: {picture.name}{score}"
    return _figure(f'<img src="{picture.data}" alt="{escape(told)}">', told)


def _figure(content: str, caption: str) -> str:
    return f"<figure>{content}<figcaption>{escape(caption)}</figcaption></figure>"


__all__ = ["styles", "task_section"]
