"""Subgroup analysis: gains on hard and on easy cases.

Cases on which a run happened to do badly do better in the next run, whatever is changed (regression to the mean). Hard
cases are therefore chosen by reference runs that are not among those compared; Zhang and Gu, "Dive into Self-Supervised
Learning for Medical Image Analysis", 2022, do not say which runs chose theirs.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from monai_ssl.evaluation.statistics import Scores, average_runs, bootstrap_interval, paired_scores

HARD_CUTOFF = 0.4
"""Dice up to which the study calls a nodule hard."""


@dataclass(frozen=True)
class GroupGain:
    """How much better one method is than another on a group of cases.

    Args:
        group: name.
        n: cases of the group that both methods have a score of.
        dropped: other cases of the group.
        gain: mean difference of the scores; NaN where there are no cases.
        low: lower end of its bootstrap interval; NaN below two cases.
        high: upper end.
    """

    group: str
    n: int
    dropped: int
    gain: float
    low: float
    high: float


def hard_and_easy(reference: Mapping[str, Scores], cutoff: float = HARD_CUTOFF) -> dict[str, tuple[str, ...]]:
    """Divide cases by the mean score of reference runs.

    Args:
        reference: scores by case, by name of the run.
        cutoff: a case at it is hard.

    Returns:
        ``hard``, ``easy`` and ``unscored``, sorted; each case is in one of them.
    """
    means = average_runs(list(reference.values()))
    groups: dict[str, list[str]] = {"hard": [], "easy": [], "unscored": []}
    for case in sorted(means):
        score = means[case]
        groups["unscored" if score is None else "hard" if score <= cutoff else "easy"].append(case)
    return {name: tuple(cases) for name, cases in groups.items()}


def gains_by_group(
    method: Scores,
    baseline: Scores,
    groups: Mapping[str, Collection[str]],
    *,
    confidence: float = 0.95,
    seed: int = 0,
) -> list[GroupGain]:
    """Return how much better ``method`` is than ``baseline`` in each group of cases.

    With 1 for a right and 0 for a wrong decision as score and the images of a class as group, the gain is the
    difference of the accuracies of that class (the study's eq. of the imbalance index).

    Args:
        method: score by case.
        baseline: score of the same cases.
        groups: cases by name; they must not overlap.
        confidence: of the bootstrap interval.
        seed: of the bootstrap.

    Raises:
        ValueError: when a case is unknown or in two groups, or both are not of the same cases.
    """
    _check_groups(groups, method)
    return [_gain(name, cases, method, baseline, confidence, seed) for name, cases in groups.items()]


def hard_easy_gains(
    method: Mapping[str, Scores],
    baseline: Mapping[str, Scores],
    reference: Mapping[str, Scores],
    *,
    cutoff: float = HARD_CUTOFF,
    confidence: float = 0.95,
    seed: int = 0,
) -> list[GroupGain]:
    """Return the gains on hard, easy and unscored cases, as runs of a baseline that are not compared divide them.

    Args:
        method: scores by case, by name of the run; runs are averaged.
        baseline: the same for what it is compared with.
        reference: runs of a baseline that choose the groups, best other seeds than ``baseline`` has.
        cutoff: see :func:`hard_and_easy`.
        confidence: of the bootstrap interval.
        seed: of the bootstrap.

    Raises:
        ValueError: when a run of the reference is compared, too.
    """
    if shared := sorted(reference.keys() & (method.keys() | baseline.keys())):
        raise ValueError(
            f"The reference run `{shared[0]}` is compared, too: cases that it failed by chance would look like a gain. "
            "Give runs with other seeds."
        )
    ours, theirs = (average_runs(list(runs.values())) for runs in (method, baseline))
    return gains_by_group(ours, theirs, hard_and_easy(reference, cutoff), confidence=confidence, seed=seed)


def _gain(
    name: str, cases: Collection[str], method: Scores, baseline: Scores, confidence: float, seed: int
) -> GroupGain:
    a, b = ({case: scores[case] for case in cases if case in scores} for scores in (method, baseline))
    scored = any(_is_score(a[case]) and _is_score(b.get(case)) for case in a)
    if not scored and a.keys() == b.keys():
        return GroupGain(name, 0, len(cases), math.nan, math.nan, math.nan)
    pairs, dropped = paired_scores(a, b)
    differences = pairs[:, 0] - pairs[:, 1]
    low, high = bootstrap_interval(differences, confidence=confidence, seed=seed)
    return GroupGain(name, len(differences), dropped, float(differences.mean()), low, high)


def _is_score(score: float | None) -> bool:
    return score is not None and not math.isnan(score)


def _check_groups(groups: Mapping[str, Collection[str]], method: Scores) -> None:
    seen: dict[str, str] = {}
    for name, cases in groups.items():
        for case in cases:
            if case in seen:
                raise ValueError(f"Case `{case}` is in the groups `{seen[case]}` and `{name}`; it may be in one only.")
            if case not in method:
                raise ValueError(f"Group `{name}` names the case `{case}`, which the method has no entry of.")
            seen[case] = name


__all__ = ["HARD_CUTOFF", "GroupGain", "gains_by_group", "hard_and_easy", "hard_easy_gains"]
