"""The report of a study: one self-contained page for people and two tables for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

from monai_ssl.files import atomic
from monai_ssl.study.comparison import Row, compare
from monai_ssl.study.folder import StudyFolder
from monai_ssl.study.report.page import bullets, cell, folded, page, paragraph, table
from monai_ssl.study.report.sections import styles, task_section
from monai_ssl.study.report.tables import cells_csv, summary_csv
from monai_ssl.study.report.text import count, limits, number
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
    name = str(study.get("name") or folder.name)
    tasks = sorted({row.task for row in rows})
    colors = styles(cells)
    hours = sum(one.seconds for one in cells) / 3600
    done = f"{count(len(cells), 'cell')} finished ({hours:.1f} hours), {len(unfinished)} failed or missing."
    parts = [paragraph(done), "<h2>What these tables can show</h2>", bullets(limits(rows, cells, study))]
    for task in tasks:
        of_task = [one for one in cells if one.task == task]
        parts.append(task_section([row for row in rows if row.task == task], of_task, colors))
    parts += [_unfinished(unfinished), "<h2>How it was made</h2>", _fingerprints(cells)]
    if study:
        # its cells stand in the table above
        text = json.dumps({key: value for key, value in study.items() if key != "cells"}, indent=2, ensure_ascii=False)
        parts.append(folded("What was asked for: study.json", f'<pre tabindex="0">{escape(text)}</pre>'))
    return page(f"Study: {name}", parts)


def _unfinished(unfinished: dict[str, str]) -> str:
    if not unfinished:
        return ""
    lines = [("", [title, cell(reason, "text wide")]) for title, reason in unfinished.items()]
    return "<h2>Failed or missing</h2>" + table(("Cell", "Reason"), lines, (0, 1), "Cells without a result")


def _fingerprints(cells: Sequence[Cell]) -> str:
    head = ("Task", "Labels", "Scheme", "Method", "Seed", "Score", "Minutes", "Pre-training", "Fingerprint")
    lines = [("", _facts(one)) for one in cells]
    said = "A fingerprint is a hash of everything that decides a result: bundle, settings, data, start, seed, version."
    return paragraph(said) + folded("All cells", table(head, lines, (0, 2, 3, 7, 8), "All cells"))


def _facts(one: Cell) -> list[str]:
    where = [one.task, str(one.labels), one.scheme, one.method, str(one.seed)]
    return [*where, number(one.score), f"{one.seconds / 60:.1f}", one.pretraining or "–", one.fingerprint or "–"]


def _write(path: Path, text: str) -> None:
    with atomic(path) as file:
        # a name may hold half a character, which JSON can write and UTF-8 cannot
        file.write(text.encode("utf-8", "replace"))


__all__ = ["write_report"]
