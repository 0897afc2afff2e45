"""Gains of a study's methods on hard and on easy test cases, told apart by runs from scratch that are not compared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from monai_ssl.evaluation.groups import GroupGain, hard_easy_gains
from monai_ssl.study.comparison import Row
from monai_ssl.study.results import Cell

Scores = dict[str, float | None]


@dataclass(frozen=True)
class HardAndEasy:
    """Gains of one arm over scratch.

    Args:
        row: of the arm.
        hard: on cases that scratch scores up to the cutoff.
        easy: on the others.
    """

    row: Row
    hard: GroupGain
    easy: GroupGain


def hard_and_easy_gains(rows: Sequence[Row], cells: Sequence[Cell], cutoff: float) -> list[HardAndEasy]:
    """Compare the arms of a task with scratch on hard and on easy cases.

    The first half of the seeds from scratch says which cases are hard, the other half is compared: cases that a run
    failed by chance do better in another one, whatever is changed.

    Args:
        rows: of one task.
        cells: of the same task; only those with scores by case count.
        cutoff: mean score up to which a case is hard.

    Returns:
        Nothing of arms for which scratch has fewer than two seeds, or none in common with the other half.
    """
    cases = {case for cell in cells for case in cell.per_case}
    runs: dict[tuple[int, str, str], dict[int, Scores]] = defaultdict(dict)
    for cell in cells:
        if cell.per_case:
            runs[cell.labels, cell.scheme, cell.method][cell.seed] = {case: cell.per_case.get(case) for case in cases}
    found = []
    for row in rows:
        if row.baseline is None:
            continue
        scheme, method = row.baseline
        scratch, ours = runs[row.labels, scheme, method], runs[row.labels, row.scheme, row.method]
        seeds = sorted(scratch)
        choosing, compared = seeds[: len(seeds) // 2], [s for s in seeds[len(seeds) // 2 :] if s in ours]
        if choosing and compared:
            hard, easy, _ = hard_easy_gains(
                _named(row.method, ours, compared),
                _named("scratch, compared", scratch, compared),
                _named("scratch, choosing", scratch, choosing),
                cutoff=cutoff,
            )
            found.append(HardAndEasy(row, hard, easy))
    return found


def _named(name: str, runs: Mapping[int, Scores], seeds: Sequence[int]) -> dict[str, Scores]:
    return {f"{name}, seed {seed}": runs[seed] for seed in seeds}
