"""Write the report of a study: one HTML page and two CSV tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_ssl.files import atomic
from monai_ssl.pages import render
from monai_ssl.study.comparison import Row, compare
from monai_ssl.study.folder import StudyFolder
from monai_ssl.study.report.sections import styles, task_part
from monai_ssl.study.report.tables import cells_csv, summary_csv
from monai_ssl.study.report.task_text import about_score, about_task
from monai_ssl.study.report.text import baselines, count, in_short, limits, number, p_value, saving
from monai_ssl.study.results import Cell, read_cells


def write_report(study_dir: Path) -> Path:
    """Write ``report.html``, ``table.csv`` (a row for each cell) and ``summary.csv`` (a row for each arm).

    The same cells give the same files to the byte. What has failed or is missing stands in the page by its reason.

    Args:
        study_dir: folder of the study, as ``study`` leaves it.

    Returns:
        The path of the page.

    Raises:
        FileNotFoundError: when there is no such folder.
    """
    folder = StudyFolder(study_dir)
    if not study_dir.is_dir():
        raise FileNotFoundError(f"There is no study in {study_dir}; run `python -m monai_ssl study` first.")
    cells, unfinished = read_cells(folder)
    rows = compare(cells)
    _write(folder.table, cells_csv(cells))
    _write(folder.summary, summary_csv(rows))
    _write(folder.report, _page(folder, cells, rows, unfinished))
    return folder.report


def _page(folder: StudyFolder, cells: Sequence[Cell], rows: Sequence[Row], unfinished: dict[str, str]) -> str:
    study = folder.read_record()
    # its cells stand in a table
    record = {key: value for key, value in study.items() if key != "cells"}
    colors = styles(cells)
    parts = []
    for task in sorted({row.task for row in rows}):
        ours = [row for row in rows if row.task == task], [cell for cell in cells if cell.task == task]
        asked = _asked_of(study, task)
        about = about_task(*ours, asked), about_score(ours[0][0].metric, ours[0][0].higher_is_better)
        parts.append({**task_part(*ours, colors, _hard_cutoff(asked)), "about": about})
    return render(
        __package__,
        "report.html",
        title=f"Study: {study.get('name') or folder.name}",
        cells=cells,
        unfinished=unfinished,
        limits=limits(rows, cells, study),
        baselines=baselines,
        in_short=in_short,
        tasks=parts,
        styles=colors,
        asked=json.dumps(record, indent=2, ensure_ascii=False) if record else "",
        count=count,
        number=number,
        p_value=p_value,
        saving=saving,
    )


def _asked_of(study: Mapping[str, Any], task: str) -> Mapping[str, Any]:
    """Return what the record of a study says of a task; nothing where it is damaged or of an older version."""
    tasks = study.get("tasks")
    asked = tasks.get(task) if isinstance(tasks, Mapping) else None
    return asked if isinstance(asked, Mapping) else {}


def _hard_cutoff(asked: Mapping[str, Any]) -> float | None:
    cutoff = asked.get("hard_cutoff")
    return cutoff if isinstance(cutoff, float) else None


def _write(path: Path, text: str) -> None:
    with atomic(path) as file:
        # a name may hold half a character, which JSON can write and UTF-8 cannot
        file.write(text.encode("utf-8", "replace"))


__all__ = ["write_report"]
