"""Compare two methods over training seeds and test cases together: both are random effects.

Runs stand for the readers of a multi-reader multi-case study of radiology: another seed would give other networks, as
another reader would give other scores. A test over cases alone asks whether *these* networks differ; with enough cases
it finds any two seeds of one method different. The analysis is that of Dorfman, Berbaum and Metz (Invest. Radiol. 27,
1992) with the degrees of freedom of Hillis (Stat. Med. 26, 2007), for two methods.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from monai_ssl.evaluation.statistics import PairedComparison, Scores, cohens_dz, rank_biserial

TEST = "runs and cases"


def compare_runs_and_cases(a: Sequence[Scores], b: Sequence[Scores], *, confidence: float = 0.95) -> PairedComparison:
    r"""Compare methods by runs :math:`r = 1 \dots R` that are paired by seed, and cases :math:`c = 1 \dots C`.

    With the differences :math:`d_{rc}` and the mean squares of their two-way table,

    .. math:: t = \bar d \Big/ \sqrt{E / RC}, \quad E = MS_R + \max(MS_C - MS_{RC}, 0), \quad
        \nu = (R - 1)\, E^2 / MS_R^2.

    Args:
        a: scores by case (or pseudo-values, see :mod:`monai_ssl.evaluation.auc_pseudo_values`), a mapping for each run.
        b: of the other method, its runs in the same order of seeds.
        confidence: of the interval of the mean difference.

    Returns:
        The comparison; ``n`` counts cases that every run has a score of, ``dropped`` the other ones.

    Raises:
        ValueError: for fewer than two runs, unequal numbers of them, or fewer than two cases that all runs have.
    """
    if len(a) != len(b) or len(a) < 2:
        raise ValueError(f"Runs must come in pairs, two at least, got {len(a)} and {len(b)}.")
    ours, theirs = ([_scored(run) for run in runs] for runs in (a, b))
    found = [set(run) for run in (*ours, *theirs)]
    cases = sorted(set.intersection(*found))
    if len(cases) < 2:
        raise ValueError(f"Only {len(cases)} cases have a score in every run; at least two are needed.")
    table = np.array([[x[c] - y[c] for c in cases] for x, y in zip(ours, theirs, strict=True)])
    error, freedom = _error(table)
    difference, spread = float(table.mean()), math.sqrt(error / table.size)
    reach = _quantile((1 + confidence) / 2, freedom) * spread
    by_case = table.mean(0)
    return PairedComparison(
        n=len(cases),
        dropped=len(set.union(*found)) - len(cases),
        difference=difference,
        low=difference - reach,
        high=difference + reach,
        p_value=_p_value(difference, spread, freedom),
        smallest_p=0.0,
        cohens_dz=cohens_dz(by_case),
        rank_biserial=rank_biserial(by_case),
        test=TEST,
    )


def _error(table: NDArray[np.float64]) -> tuple[float, float]:
    """Return the mean square that the mean of ``table`` (R, C) is judged by, and its degrees of freedom."""
    runs, cases = table.shape
    of_run, of_case = table.mean(1, keepdims=True), table.mean(0, keepdims=True)
    ms_runs = cases * float(np.var(of_run, ddof=1))
    ms_cases = runs * float(np.var(of_case, ddof=1))
    rest = table - of_run - of_case + table.mean()
    ms_rest = float(np.square(rest).sum()) / ((runs - 1) * (cases - 1))
    error = ms_runs + max(ms_cases - ms_rest, 0.0)
    return error, math.inf if ms_runs == 0 else (runs - 1) * (error / ms_runs) ** 2


def _p_value(difference: float, spread: float, freedom: float) -> float:
    from scipy.stats import t

    if spread == 0:
        return 1.0 if difference == 0 else 0.0
    return float(2 * t.sf(abs(difference) / spread, freedom))


def _quantile(probability: float, freedom: float) -> float:
    from scipy.stats import t

    return float(t.ppf(probability, freedom))


def _scored(run: Scores) -> dict[str, float]:
    return {case: score for case, score in run.items() if score is not None and not math.isnan(score)}


__all__ = ["TEST", "compare_runs_and_cases"]
