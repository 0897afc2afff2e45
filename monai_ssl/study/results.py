"""Read and validate the results of finished cells."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from monai_ssl.files import read_json
from monai_ssl.study.folder import JobFolder, StudyFolder
from monai_ssl.study.jobs import cell_title
from monai_ssl.study.tuning import Tried

SCRATCH = "scratch"
"""Name of the arm that starts from random weights; further encoders' stand in brackets behind it."""

Arm = tuple[str, int, str, str]
"""What is repeated over seeds: (task, labels, scheme, method)."""


@dataclass(frozen=True)
class Cell:
    """One training of the matrix and its scores on the test cases.

    Args:
        folder: of the cell.
        method: name of the pre-training, or ``"scratch"``.
        task: name of the downstream task.
        labels: number of labeled patients (or images) that were trained on.
        scheme: name of the fine-tuning scheme.
        seed: of the split, the subset and the training.
        metric: name of the metric.
        higher_is_better: whether more of the metric is better.
        score: over all test cases.
        score_target_bn: the same with batch norm statistics of the target, where that was asked for and is applicable.
        bn_distance: between the two statistics, in the encoder; see ``monai_ssl.evaluation.bn_distance``.
        per_case: score of each test case that has one.
        pseudo_values: what each test patient contributes to a score that no case has; see `auc_pseudo_values`.
        per_class: score of each class.
        curve: (step, value) while training, by step.
        seconds: of training and testing.
        pretraining: hash of the pre-training, ``None`` for scratch.
        encoder: which encoder, alike for all that are compared.
        fingerprint: hash of everything that decided the result.
        pictures: their names in ``folder``.
        tuning: what its arm was tried with, one of them chosen; empty where nothing was tuned.
    """

    folder: JobFolder
    method: str
    task: str
    labels: int
    scheme: str
    seed: int
    metric: str
    higher_is_better: bool
    score: float
    score_target_bn: float | None
    bn_distance: float | None
    per_case: Mapping[str, float]
    pseudo_values: Mapping[str, float]
    per_class: Mapping[str, float]
    curve: tuple[tuple[float, float], ...]
    seconds: float
    pretraining: str | None
    encoder: str
    fingerprint: str
    pictures: tuple[str, ...]
    tuning: tuple[Tried, ...] = ()

    @property
    def arm(self) -> Arm:
        return self.task, self.labels, self.scheme, self.method

    @property
    def tuned(self) -> str:
        """What it was trained with of what was tried, in words."""
        return next((one.told for one in self.tuning if one.chosen), "")

    @property
    def is_scratch(self) -> bool:
        return self.pretraining is None and (self.method == SCRATCH or self.method.startswith(f"{SCRATCH} ("))


def read_cells(study: StudyFolder) -> tuple[list[Cell], dict[str, str]]:
    """Read the results of the cells that belong to the study as its record has it now.

    Without a list of cells there, all that are found belong to it.

    Returns:
        The finished cells in the order of their arms and seeds, and for each that is not: its title and the reason.
    """
    expected, found = study.listed_cells(), study.done_cells()
    cells: dict[tuple[Arm, int], Cell] = {}
    unfinished = {}
    for folder in found:
        if expected and folder.key not in expected:
            continue
        try:
            cell = _read_cell(folder)
        except (ValueError, TypeError, KeyError, AttributeError, OSError, OverflowError) as error:
            unfinished[f"cell {folder.key}"] = f"Its result cannot be used: {error}"
            continue
        if (first := cells.setdefault((cell.arm, cell.seed), cell)) is not cell:
            unfinished[f"cell {folder.key}"] = f"Left out: cell {first.folder.key} has the same arm and seed."
    for key in expected.keys() - {folder.key for folder in found}:
        unfinished[cell_title(expected[key])] = study.cell(key).failure() or "It has not run yet."
    return sorted(cells.values(), key=lambda cell: (*cell.arm, cell.seed)), dict(sorted(unfinished.items()))


def _read_cell(folder: JobFolder) -> Cell:
    result = read_json(folder.result)
    for key in ("method", "task", "labels", "scheme", "seed", "metric", "higher_is_better", "score"):
        if key not in result:
            raise ValueError(f"`{key}` is missing.")
    if not _is_number(result["score"]):
        raise ValueError(f"`score` is {result['score']!r}, not a finite number.")
    curve = sorted((float(step), float(value)) for step, value in result.get("curve") or () if _is_number(value))
    pretraining = result.get("pretraining")
    return Cell(
        folder=folder,
        method=str(result["method"]),
        task=str(result["task"]),
        labels=int(result["labels"]),
        scheme=str(result["scheme"]),
        seed=int(result["seed"]),
        metric=str(result["metric"]),
        higher_is_better=bool(result["higher_is_better"]),
        score=float(result["score"]),
        score_target_bn=_number_or_none(result.get("score_target_bn")),
        bn_distance=_number_or_none(result.get("bn_distance")),
        per_case=_numbers(result.get("per_case")),
        pseudo_values=_numbers(result.get("pseudo_values")),
        per_class=_numbers(result.get("per_class")),
        curve=tuple(curve),
        seconds=float(result.get("seconds") or 0.0),
        pretraining=None if pretraining is None else str(pretraining),
        encoder=str(result.get("encoder", "")),
        fingerprint=str(result.get("fingerprint", "")),
        pictures=tuple(str(path) for path in result.get("pictures") or ()),
        tuning=tuple(Tried(**one) for one in result.get("tuning") or ()),
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _number_or_none(value: Any) -> float | None:
    return float(value) if _is_number(value) else None


def _numbers(values: Mapping[str, Any] | None) -> dict[str, float]:
    """Keep what has a value; a case without the structure has none."""
    return {str(name): float(value) for name, value in (values or {}).items() if _is_number(value)}


__all__ = ["SCRATCH", "Arm", "Cell", "read_cells"]
