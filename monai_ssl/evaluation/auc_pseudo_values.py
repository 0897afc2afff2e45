"""Jackknife pseudo-values of AUC per patient, so that two methods can be compared by patient.

No single patient has an AUC. Tukey's pseudo-value of a patient, n A - (n - 1) A_without, plays that part: its mean is
the AUC (up to a bias of order 1/n) and its variance over n is that of the AUC, for which it agrees with the estimator
of DeLong et al. (Biometrics 44, 1988) and, with several images of a patient, with that of Obuchowski (Biometrics 53,
1997). A paired t-test of two methods' pseudo-values is the jackknife test of their difference.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def auc_pseudo_values(scores: ArrayLike, truth: ArrayLike, patients: Sequence[str]) -> dict[str, float]:
    """Return the pseudo-value of each patient for the AUC of one class.

    Args:
        scores: (n,) of the images, higher where the class is likelier; ties count half.
        truth: (n,) 1 where the class is there, 0 elsewhere.
        patients: of the n images.

    Returns:
        By patient; may lie outside [0, 1]. NaN for all where there are fewer than two patients on one of both sides,
        because the AUC without one of them is not defined.

    Raises:
        ValueError: when the lengths differ or ``truth`` is not of 0 and 1.
    """
    score, positive = np.asarray(scores, dtype=np.float64), np.asarray(truth)
    if not len(score) == len(positive) == len(patients):
        raise ValueError(f"Got {len(score)} scores, {len(positive)} truths and {len(patients)} patients.")
    if not np.isin(positive, (0, 1)).all():
        raise ValueError("`truth` must be 0 or 1 for every image.")
    names, member = np.unique(np.asarray(patients, dtype=object).astype(str), return_inverse=True)
    above, below = score[positive == 1], score[positive == 0]
    of_above, of_below = member[positive == 1], member[positive == 0]
    count_above, count_below = (np.bincount(side, minlength=len(names)) for side in (of_above, of_below))
    if min((len(side) - count).min() for side, count in ((above, count_above), (below, count_below))) < 1:
        return dict.fromkeys(names.tolist(), np.nan)
    won = _won(above, below)
    lost = len(above) - _won(below, above)
    shared = _within(above, below, of_above, of_below, len(names))
    removed = np.bincount(of_above, won, len(names)) + np.bincount(of_below, lost, len(names)) - shared
    without = (won.sum() - removed) / ((len(above) - count_above) * (len(below) - count_below))
    auc = won.sum() / (len(above) * len(below))
    return dict(zip(names.tolist(), (len(names) * auc - (len(names) - 1) * without).tolist(), strict=True))


def _won(a: Floats, b: Floats) -> Floats:
    """Return for each of ``a`` how many of ``b`` it exceeds, ties half."""
    ordered = np.sort(b)
    left, right = np.searchsorted(ordered, a, "left"), np.searchsorted(ordered, a, "right")
    return np.asarray((left + right) / 2, dtype=np.float64)


def _within(
    above: Floats, below: Floats, of_above: NDArray[np.intp], of_below: NDArray[np.intp], patients: int
) -> Floats:
    """Return the pairs won within each patient, which its removal would otherwise count twice."""
    found = np.zeros(patients)
    for patient in np.intersect1d(of_above, of_below):
        found[patient] = _won(above[of_above == patient], below[of_below == patient]).sum()
    return found


__all__ = ["auc_pseudo_values"]
