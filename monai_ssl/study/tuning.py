"""Choose learning rates and epochs for every arm of a study, scratch included, on validation patients.

Each arm tries all values on the first seeds; what does best on average is what all its seeds are trained with. Test
patients are not looked at before that.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from monai_ssl.files import read_json
from monai_ssl.study.folder import StudyFolder
from monai_ssl.study.jobs import CellJob, TrialJob, told
from monai_ssl.study.plan.bundle_files import digest

Values = Mapping[str, float]


def candidates(tune: Mapping[str, Sequence[float]], scheme: str) -> list[dict[str, float]]:
    """Return all combinations of the values that are tried under a scheme; none where nothing is tuned.

    Under ``"fixed"`` the encoder does not learn: what is listed for ``lr`` is tried for the head. A ``"probe"`` has no
    rate, and validation patients choose its penalty.

    >>> candidates({"lr": [1e-4, 1e-3]}, "fixed")
    [{'head_lr': 0.0001}, {'head_lr': 0.001}]
    """
    grid = {} if scheme == "probe" else dict(tune)
    if scheme == "fixed" and "lr" in grid:
        rates = grid.pop("lr")
        grid = {"head_lr": grid.get("head_lr", rates), **{name: grid[name] for name in grid if name != "head_lr"}}
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())] if grid else []


def with_trials(
    cells: Sequence[CellJob], tune: Mapping[str, Sequence[float]], seeds: Sequence[int]
) -> tuple[list[TrialJob], list[CellJob]]:
    """Return the trials of all arms, and the cells that wait for those of their arm.

    Args:
        cells: of a study.
        tune: values by key of the bundle.
        seeds: that values are tried with.
    """
    if not tune:
        return [], list(cells)
    found: dict[Any, dict[str, TrialJob]] = defaultdict(dict)
    for cell in cells:
        if cell.seed in seeds:
            for values in candidates(tune, cell.overrides["scheme"]):
                trial = _trial(cell, values)
                found[_arm(cell)][trial.key] = trial
    trials = [trial for of_arm in found.values() for trial in of_arm.values()]
    return trials, [_waiting(cell, found[_arm(cell)]) for cell in cells]


def _arm(cell: CellJob) -> tuple[str, int, str, str]:
    return cell.task, cell.labels, cell.scheme, cell.method


def _trial(cell: CellJob, values: Values) -> TrialJob:
    tried = replace(cell, overrides={**cell.overrides, **values}, target_bn_batches=0)
    return TrialJob(digest([cell.key, "trial", dict(values)]), tried, values)


def _waiting(cell: CellJob, trials: Mapping[str, TrialJob]) -> CellJob:
    tried = {key: trial.values for key, trial in trials.items()}
    needs = (*cell.needs, *tried)
    return replace(cell, key=digest([cell.key, sorted(tried)]), trials=tried, needs=needs)


@dataclass(frozen=True)
class Tried:
    """Values that an arm was tried with.

    Args:
        values: by key of the bundle.
        validation: mean score on validation patients over the seeds; ``None`` where a training diverged.
        seeds: number of them.
        chosen: whether the cells of the arm are trained with them.
    """

    values: Values
    validation: float | None
    seeds: int
    chosen: bool = False

    @property
    def told(self) -> str:
        return told(self.values)


def tried_by(cell: CellJob, folder: StudyFolder) -> list[Tried]:
    """Return what the trials of a cell's arm found, one of them chosen.

    Raises:
        ValueError: when all diverged.
    """
    scores: dict[tuple[tuple[str, float], ...], list[float | None]] = defaultdict(list)
    for key, values in cell.trials.items():
        scores[tuple(values.items())].append(read_json(folder.trial(key).result)["validation"])
    tried = [Tried(dict(values), _mean(found), len(found)) for values, found in scores.items()]
    judged = [(one.validation, one) for one in tried if one.validation is not None]
    if not judged:
        raise ValueError("All trainings of `tune` diverged: list smaller learning rates.")
    best = (max if cell.higher_is_better else min)(judged, key=lambda pair: pair[0])[1]
    return [replace(one, chosen=one is best) for one in tried]


def _mean(scores: Sequence[float | None]) -> float | None:
    known = [score for score in scores if score is not None]
    return fmean(known) if len(known) == len(scores) else None


__all__ = ["Tried", "candidates", "tried_by", "with_trials"]
