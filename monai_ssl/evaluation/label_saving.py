"""Label efficiency: how many labels pre-training saves at equal score, by interpolation between label counts.

Fig. 9 of Chen, Li, Chen, Luo, "A Knowledge-based Learning Framework for Self-supervised Pre-training Towards Enhanced
Recognition of Medical Images" (TOWER), 2022, https://arxiv.org/abs/2211.14715, asks how few labels a method needs to
be as good as scratch with all; the other way round tells what each run of the method is worth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Bound = Literal["exact", "at least", "at most"]


@dataclass(frozen=True)
class LabelSaving:
    """What one score of a method is worth in labels of the baseline.

    Args:
        labels: that the method had.
        score: that it reached with them.
        equivalent: labels with which the baseline reaches ``score``; a bound where it does not within its runs.
        bound: ``"exact"``; ``"at least"`` when the baseline never gets there, ``"at most"`` when its smallest number
            of labels suffices.
    """

    labels: float
    score: float
    equivalent: float
    bound: Bound

    @property
    def saving(self) -> float:
        """Share of the baseline's labels that are not needed; negative when the method needs more."""
        return 1 - self.labels / self.equivalent


def label_saving(
    method: Mapping[float, float], baseline: Mapping[float, float], *, higher_is_better: bool = True
) -> list[LabelSaving]:
    """Return for each number of labels of ``method`` how many the baseline needs for the same score.

    Between two runs the baseline is taken as a line; where its curve falls and rises again, the first number of labels
    that reaches the score counts, which favors the baseline.

    Args:
        method: mean score by number of labels.
        baseline: the same from scratch, for two numbers of labels or more.
        higher_is_better: of the score.

    Raises:
        ValueError: when a curve is too short, or a number of labels or a score cannot be one.
    """
    _check(baseline, method)
    sign = 1.0 if higher_is_better else -1.0
    curve = sorted((float(labels), sign * score) for labels, score in baseline.items())
    return [LabelSaving(n, method[n], *_reach(curve, sign * method[n])) for n in sorted(method)]


def cost_reduction(
    method: Mapping[float, float], baseline: Mapping[float, float], *, higher_is_better: bool = True
) -> LabelSaving:
    """Return how few labels ``method`` needs to be as good as the baseline with its largest number (TOWER, fig. 9).

    Args:
        method: mean score by number of labels, for two numbers or more.
        baseline: the same from scratch; only its largest number of labels counts.
        higher_is_better: of the score.

    Returns:
        ``equivalent``: the largest number of the baseline; ``labels``: what the method needs, so that ``saving`` is the
        figure's reduction of the annotation cost. With ``"at least"`` the method never gets there: ``labels`` is then
        all it had, and ``saving`` an upper limit.

    Raises:
        ValueError: see :func:`label_saving`.
    """
    _check(method, baseline)
    most = max(baseline)
    (needed,) = label_saving({most: baseline[most]}, method, higher_is_better=higher_is_better)
    return LabelSaving(needed.equivalent, needed.score, most, needed.bound)


def _check(curve: Mapping[float, float], other: Mapping[float, float]) -> None:
    if len(curve) < 2 or not other:
        raise ValueError(
            "A label saving needs one curve of scores for two numbers of labels at least, and one score of the other; "
            f"got {len(curve)} and {len(other)}."
        )
    for labels, score in [*curve.items(), *other.items()]:
        if not labels > 0 or not math.isfinite(score):
            raise ValueError(
                f"A label saving needs numbers of labels above 0 and finite scores, got {labels}: {score}."
            )


def _reach(curve: list[tuple[float, float]], goal: float) -> tuple[float, Bound]:
    if curve[0][1] >= goal:
        return curve[0][0], "exact" if curve[0][1] == goal else "at most"
    for (x0, y0), (x1, y1) in pairwise(curve):
        if y1 >= goal:
            return x0 + (x1 - x0) * (goal - y0) / (y1 - y0), "exact"
    return curve[-1][0], "at least"


__all__ = ["LabelSaving", "cost_reduction", "label_saving"]
