"""Tables of a report, for files and for the console."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from monai_ssl.console import in_columns
from monai_ssl.files import csv_text
from monai_ssl.study.comparison import Row
from monai_ssl.study.report.text import p_value
from monai_ssl.study.results import Cell

_CELL = (
    "task",
    "labels",
    "scheme",
    "method",
    "seed",
    "metric",
    "higher_is_better",
    "score",
    "score_target_bn",
    "bn_distance",
    "seconds",
    "encoder",
    "pretraining",
    "fingerprint",
    "tuned",
)
_ROW = ("task", "labels", "scheme", "method", "metric", "higher_is_better", "mean", "sd", "seeds")
_TEST = ("test", "n", "difference", "low", "high", "p_value", "cohens_dz", "rank_biserial")
_COMPARISON = ("baseline", "to_scratch", *(f"cases_{name}" for name in _TEST), "p_holm", "verdict")
_SHOWN = ("task", "labels", "scheme", "method", "metric", "seeds", "mean", "to_scratch", "p_holm", "verdict")
_FORMATS = {"mean": "{:.3f}".format, "to_scratch": "{:+.3f}".format, "p_holm": p_value}
_SAVING = ("scratch_labels", "scratch_labels_bound", "saving")


def cells_csv(cells: Sequence[Cell]) -> str:
    """Return a table with one line for each cell."""
    records = ({name: getattr(cell, name) for name in _CELL} | {"folder": cell.folder.key} for cell in cells)
    return _csv((*_CELL, "folder"), records)


def summary_csv(rows: Sequence[Row]) -> str:
    """Return a table with one line for each arm; what starts with ``cases_`` is of the comparison over cases."""
    return _csv((*_ROW, *_COMPARISON, *_SAVING), (_record(row) for row in rows))


def summary_text(path: Path) -> str:
    """Return what ``summary.csv`` says of each arm, in columns for the console.

    Args:
        path: the file that :func:`summary_csv` gave the text of.
    """
    rows = [tuple(name.replace("_", " ").replace("p holm", "p (Holm)") for name in _SHOWN)]
    with path.open(newline="") as file:
        for line in csv.DictReader(file):
            told = line | {name: write(float(line[name])) for name, write in _FORMATS.items() if line[name]}
            rows.append(tuple(told[name] for name in _SHOWN))
    return "\n".join(in_columns(rows))


def _record(row: Row) -> dict[str, Any]:
    record = {name: getattr(row, name) for name in _ROW}
    record |= {"baseline": " / ".join(row.baseline) if row.baseline else None, "to_scratch": row.difference}
    if row.paired is not None:
        record |= {f"cases_{name}": getattr(row.paired, name) for name in _TEST}
    record |= {"p_holm": row.p_holm, "verdict": row.verdict}
    if row.saving is not None:
        exact = row.saving.bound == "exact"
        record |= {"scratch_labels": row.saving.equivalent, "scratch_labels_bound": row.saving.bound}
        record |= {"saving": row.saving.saving if exact else None}
    return record


def _csv(head: Sequence[str], records: Iterable[dict[str, Any]]) -> str:
    rows = ((record.get(name, "") for name in head) for record in records)
    return csv_text([head, *(["" if _is_nan(value) else value for value in row] for row in rows)])


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


__all__ = ["cells_csv", "summary_csv", "summary_text"]
