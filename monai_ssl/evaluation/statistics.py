"""Paired tests of two methods: Wilcoxon, t-test, bootstrap confidence interval, effect size, Holm correction.

All tests are paired: two methods are compared case by case (or patient by patient), never by their means alone.
Scores of several runs of one method are averaged per case first, because runs on the same cases are not new cases.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Scores = Mapping[str, float | None]
"""Score by case; nothing or NaN where a case has none, such as Dice of a structure that is not there."""


@dataclass(frozen=True)
class PairedComparison:
    """What two methods' scores of the same cases say.

    Args:
        n: pairs that were compared.
        dropped: cases without a score of one of both.
        difference: mean of ``a - b``.
        low: lower end of its bootstrap interval.
        high: upper end.
        p_value: two-sided; NaN where fewer than two pairs are there.
        smallest_p: the least p-value that ``n`` pairs can give; above 0.05 no result of this test can be significant.
        cohens_dz: mean over standard deviation of the differences; NaN where they do not vary.
        rank_biserial: share of the ranks of |a - b| in favor of ``a`` minus that in favor of ``b``, in [-1, 1].
        test: name.
    """

    n: int
    dropped: int
    difference: float
    low: float
    high: float
    p_value: float
    smallest_p: float
    cohens_dz: float
    rank_biserial: float
    test: str


def compare_paired(
    a: Scores,
    b: Scores,
    *,
    test: Literal["wilcoxon", "t"] = "wilcoxon",
    patients: Mapping[str, str] | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> PairedComparison:
    """Compare the scores of two methods on the same cases.

    Args:
        a: of one method, by case.
        b: of the other, of the same cases.
        test: Wilcoxon's signed ranks, or Student's t on the differences.
        patients: patient of each case; then patients are compared, each by the mean over its cases.
        confidence: of the bootstrap interval of the mean difference.
        seed: of the bootstrap.

    Raises:
        ValueError: when both are not of the same cases, a patient is unknown, or no case has two scores.
    """
    if test not in ("wilcoxon", "t"):
        raise ValueError(f"`test` must be 'wilcoxon' or 't', got {test!r}.")
    pairs, dropped = paired_scores(a, b, patients)
    differences = pairs[:, 0] - pairs[:, 1]
    low, high = bootstrap_interval(differences, confidence=confidence, seed=seed)
    p_value, smallest = _wilcoxon(differences) if test == "wilcoxon" else _student(differences)
    return PairedComparison(
        n=len(differences),
        dropped=dropped,
        difference=float(differences.mean()),
        low=low,
        high=high,
        p_value=p_value,
        smallest_p=smallest,
        cohens_dz=cohens_dz(differences),
        rank_biserial=rank_biserial(differences),
        test=test,
    )


def average_runs(runs: Sequence[Scores]) -> dict[str, float | None]:
    """Return the mean score of each case over several runs, such as seeds; a run without a score is left out.

    Raises:
        ValueError: when there is no run, or the runs are not of the same cases.
    """
    if not runs:
        raise ValueError("`runs` is empty: give the scores of one run at least.")
    for run in runs[1:]:
        _same_cases(runs[0], run)
    found = {case: [s for run in runs if (s := _number(run[case])) is not None] for case in runs[0]}
    return {case: math.fsum(scores) / len(scores) if scores else None for case, scores in found.items()}


def paired_scores(a: Scores, b: Scores, patients: Mapping[str, str] | None = None) -> tuple[NDArray[np.float64], int]:
    """Return the pairs (n, 2) of scores, ordered by name of case or patient, and how many cases have no pair."""
    _same_cases(a, b)
    pairs = {c: (x, y) for c in sorted(a) if (x := _number(a[c])) is not None and (y := _number(b[c])) is not None}
    if not pairs:
        raise ValueError("No case has a score of both methods, so there is nothing to compare.")
    members: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for case, pair in pairs.items():
        if patients is not None and case not in patients:
            raise ValueError(f"`patients` does not name the patient of case `{case}`; name all, or give none.")
        members[case if patients is None else patients[case]].append(pair)
    means = [np.mean(members[name], axis=0) for name in sorted(members)]
    return np.asarray(means, dtype=np.float64), len(a) - len(pairs)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number, in their order (Holm, Scand. J. Statist. 6, 1979).

    A NaN is a test that could not be made: it stays NaN and does not count.

    Raises:
        ValueError: when a value is not in [0, 1].
    """
    made = [i for i, p in enumerate(p_values) if not math.isnan(p)]
    wrong = [p_values[i] for i in made if not 0 <= p_values[i] <= 1]
    if wrong:
        raise ValueError(f"`p_values` must be in [0, 1], got {wrong[0]}.")
    corrected = [math.nan] * len(p_values)
    largest = 0.0
    for rank, i in enumerate(sorted(made, key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(made) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected


def bootstrap_interval(
    values: Sequence[float] | NDArray[np.float64],
    *,
    confidence: float = 0.95,
    resamples: int = 5000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the percentile interval of the mean of ``values``; NaN where fewer than two are given.

    Raises:
        ValueError: when ``confidence`` is not in (0, 1) or ``resamples`` not positive.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"`confidence` must be in (0, 1), got {confidence}.")
    if resamples < 1:
        raise ValueError(f"`resamples` must be at least 1, got {resamples}.")
    sample = np.asarray(values, dtype=np.float64)
    if len(sample) < 2:
        return math.nan, math.nan
    generator = np.random.default_rng(seed)
    # in portions: all resamples of a hundred thousand candidates would not fit into memory
    portion = max(1, 10**6 // len(sample))
    means = np.empty(resamples)
    for at in range(0, resamples, portion):
        stop = min(at + portion, resamples)
        means[at:stop] = sample[generator.integers(0, len(sample), (stop - at, len(sample)))].mean(1)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def cohens_dz(differences: Sequence[float] | NDArray[np.float64]) -> float:
    """Return mean over standard deviation of paired differences (Cohen, 1988); NaN where they do not vary."""
    sample = np.asarray(differences, dtype=np.float64)
    if len(sample) < 2 or np.ptp(sample) == 0:
        return math.nan
    return float(sample.mean() / sample.std(ddof=1))


def rank_biserial(differences: Sequence[float] | NDArray[np.float64]) -> float:
    """Return the matched-pairs rank-biserial correlation (Kerby, Compr. Psychol. 3, 2014) in [-1, 1].

    Pairs without difference favor nobody and are left out; 0 where no pair is left.
    """
    from scipy.stats import rankdata

    sample = np.asarray(differences, dtype=np.float64)
    sample = sample[sample != 0]
    if len(sample) == 0:
        return 0.0
    ranks = rankdata(np.abs(sample))
    return float((ranks * np.sign(sample)).sum() / ranks.sum())


def _wilcoxon(differences: NDArray[np.float64]) -> tuple[float, float]:
    from scipy.stats import wilcoxon

    nonzero = int(np.count_nonzero(differences))
    smallest = min(1.0, 2.0 ** (1 - nonzero))
    if len(differences) < 2:
        return math.nan, smallest
    return (1.0, smallest) if nonzero == 0 else (float(wilcoxon(differences).pvalue), smallest)


def _student(differences: NDArray[np.float64]) -> tuple[float, float]:
    from scipy.stats import ttest_1samp

    if len(differences) < 2:
        return math.nan, 0.0
    if np.ptp(differences) == 0:
        return (1.0 if differences[0] == 0 else 0.0), 0.0
    return float(ttest_1samp(differences, 0.0).pvalue), 0.0


def _same_cases(a: Scores, b: Scores) -> None:
    if other := sorted(a.keys() ^ b.keys()):
        raise ValueError(
            f"Both methods must be scored on the same cases, but only one of them has {len(other)} of them "
            f"(`{other[0]}` first); evaluate both on one test set."
        )


def _number(score: float | None) -> float | None:
    return None if score is None or math.isnan(score) else float(score)


__all__ = [
    "PairedComparison",
    "Scores",
    "average_runs",
    "bootstrap_interval",
    "cohens_dz",
    "compare_paired",
    "holm",
    "paired_scores",
    "rank_biserial",
]
