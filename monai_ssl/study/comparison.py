"""Compare every arm of a study with training from scratch: gains, confidence intervals, p-values."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from monai_ssl.evaluation.label_saving import LabelSaving, label_saving
from monai_ssl.evaluation.runs_and_cases import compare_runs_and_cases
from monai_ssl.evaluation.statistics import PairedComparison, compare_paired, holm
from monai_ssl.study.results import Arm, Cell


@dataclass(frozen=True)
class Row:
    """What the seeds of one arm say.

    Args:
        task: name of the task.
        labels: number of labeled patients.
        scheme: name of the fine-tuning scheme.
        method: name of the method.
        metric: name of the metric.
        higher_is_better: whether more of it is better.
        seeds: number of seeds.
        mean: of the score over seeds.
        sd: sample standard deviation over seeds, ``None`` for one seed.
        scratch: whether it started from random weights.
        baseline: (scheme, method) of the scratch arm that it is compared with.
        difference: to it, mean over the seeds that both have; ``None`` for scratch or where none compares.
        paired: comparison with it over runs and test cases; of a single seed over cases alone: Wilcoxon's test of their
            scores, a t-test of their pseudo-values where no case has a score.
        p_holm: p-value of ``paired`` after Holm's correction for all comparisons of the task.
        saving: what the mean is worth in labels from scratch.
    """

    task: str
    labels: int
    scheme: str
    method: str
    metric: str
    higher_is_better: bool
    seeds: int
    mean: float
    sd: float | None
    scratch: bool
    baseline: tuple[str, str] | None = None
    difference: float | None = None
    paired: PairedComparison | None = None
    p_holm: float | None = None
    saving: LabelSaving | None = None

    @property
    def verdict(self) -> str:
        """How the arm stands to scratch: ``"better"``, ``"worse"``, ``"unclear"``, ``"not tested"``.

        Not tested is what has neither scores nor pseudo-values of its cases; nothing stands where there is no scratch.
        """
        if self.difference is None:
            return ""
        if self.paired is None:
            return "not tested"
        if self.p_holm is None or self.p_holm >= 0.05:
            return "unclear"
        # a test over cases cannot vouch for a score that moved the other way
        sides = {self.difference > 0, self.paired.difference > 0}
        if self.paired.test == "wilcoxon":
            sides.add(self.paired.rank_biserial > 0)
        if len(sides) > 1:
            return "unclear"
        return "better" if (self.difference > 0) == self.higher_is_better else "worse"


def compare(cells: Sequence[Cell]) -> list[Row]:
    """Return a row for each arm, in the order of task, scheme, labels and method, scratch first.

    An arm is compared with the scratch arm of its own encoder. One of the same scheme is preferred; as a rule there is
    only that which trains everything, because random weights are not worth freezing.
    """
    arms: dict[Arm, list[Cell]] = defaultdict(list)
    for cell in cells:
        arms[cell.arm].append(cell)
    rows = [_row(members, _baseline(members[0], arms)) for members in arms.values()]
    rows.sort(key=lambda row: (row.task, row.scheme, row.labels, not row.scratch, row.method))
    return _with_savings(_corrected(rows))


def _baseline(cell: Cell, arms: dict[Arm, list[Cell]]) -> list[Cell]:
    same = [
        members
        for arm, members in arms.items()
        if arm[:2] == cell.arm[:2] and members[0].is_scratch and members[0].encoder == cell.encoder
    ]
    return min(same, key=lambda members: (members[0].scheme != cell.scheme, members[0].arm), default=[])


def _row(cells: Sequence[Cell], scratch: Sequence[Cell]) -> Row:
    scores = np.array([cell.score for cell in cells])
    row = Row(
        task=cells[0].task,
        labels=cells[0].labels,
        scheme=cells[0].scheme,
        method=cells[0].method,
        metric=cells[0].metric,
        higher_is_better=cells[0].higher_is_better,
        seeds=len(cells),
        mean=float(scores.mean()),
        sd=float(scores.std(ddof=1)) if len(scores) > 1 else None,
        scratch=cells[0].is_scratch,
    )
    base = {cell.seed: cell for cell in scratch}
    pairs = [(cell, base[cell.seed]) for cell in cells if cell.seed in base]
    if row.scratch or not pairs:
        return row
    difference = float(np.mean([cell.score - other.score for cell, other in pairs]))
    baseline = (scratch[0].scheme, scratch[0].method)
    return replace(row, baseline=baseline, difference=difference, paired=_over_cases(pairs))


def _over_cases(pairs: Sequence[tuple[Cell, Cell]]) -> PairedComparison | None:
    """Compare by the scores of cases; where no case has one, by pseudo-values."""
    by_score = [(cell.per_case, other.per_case) for cell, other in pairs]
    by_pseudo_value = [(cell.pseudo_values, other.pseudo_values) for cell, other in pairs]
    return _compared(by_score, "wilcoxon") or _compared(by_pseudo_value, "t")


def _compared(
    values: Sequence[tuple[Mapping[str, float], Mapping[str, float]]], test: Literal["wilcoxon", "t"]
) -> PairedComparison | None:
    """Compare on the cases that both arms have a value of in every run; ``test`` is for a single run."""
    shared = sorted(set.intersection(*(ours.keys() & theirs.keys() for ours, theirs in values)))
    if len(shared) < 2:
        return None
    ours, theirs = ([{case: run[case] for case in shared} for run in side] for side in zip(*values, strict=True))
    return compare_runs_and_cases(ours, theirs) if len(values) > 1 else compare_paired(ours[0], theirs[0], test=test)


def _corrected(rows: Sequence[Row]) -> list[Row]:
    """Correct within a task, where all arms are judged on the same cases."""
    corrected: dict[int, float] = {}
    for task in {row.task for row in rows}:
        tested = {i: row.paired.p_value for i, row in enumerate(rows) if row.task == task and row.paired}
        corrected.update(zip(tested, holm(list(tested.values())), strict=True))
    return [replace(row, p_holm=p if (p := corrected.get(i, math.nan)) == p else None) for i, row in enumerate(rows)]


def _with_savings(rows: Sequence[Row]) -> list[Row]:
    curves: dict[tuple[str, tuple[str, str]], dict[float, float]] = defaultdict(dict)
    for row in rows:
        if row.scratch and row.labels > 0:
            curves[row.task, (row.scheme, row.method)][row.labels] = row.mean
    return [row if row.baseline is None else _with_saving(row, curves[row.task, row.baseline]) for row in rows]


def _with_saving(row: Row, scratch: dict[float, float]) -> Row:
    if len(scratch) < 2 or row.labels <= 0:
        return row
    found = label_saving({row.labels: row.mean}, scratch, higher_is_better=row.higher_is_better)
    return replace(row, saving=found[0])


__all__ = ["Row", "compare"]
