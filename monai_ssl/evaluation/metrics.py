"""Metrics per case: Dice, IoU, Hausdorff and surface distance, mIoU of probabilities, AUC and accuracy.

mIoU and mIoU+ are those of Zhang and Gu, "Dive into Self-Supervised Learning for Medical Image Analysis", 2022,
https://arxiv.org/abs/2209.12157, with cut-offs of the probability as in the Keras code of Models Genesis. Masks are
compared by MONAI; what an empty mask means is said here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from monai.metrics.meandice import compute_dice
from monai.metrics.meaniou import compute_iou
from monai.metrics.surface_dice import compute_surface_dice
from torch import Tensor

from monai_ssl.evaluation.probes import area_under_curve

THRESHOLDS = tuple(percent / 100 for percent in range(50, 100, 5))
"""Cut-offs of the probability: 0.50, 0.55, ..., 0.95."""

Empty = Literal["skip", "one"]
Pooling = Literal["per_case", "dataset"]


@dataclass(frozen=True)
class Summary:
    """A score over cases.

    Args:
        mean: over the cases that have one; NaN when none has.
        n: cases that have one.
        skipped: cases that have none.
    """

    mean: float
    n: int
    skipped: int


def segmentation_scores(
    predicted: Tensor,
    truth: Tensor,
    names: Sequence[str],
    *,
    spacing: Sequence[float] | None = None,
    tolerance: float = 1.0,
    empty: Empty = "skip",
) -> dict[str, dict[str, float]]:
    """Return the scores of one case by structure.

    Where the structure is neither there nor predicted, ``empty`` decides about the overlaps; where it is predicted but
    not there, or the other way round, they are 0. A distance between a surface and none is not a number.

    Args:
        predicted: masks (K, *spatial) of the structures, without background; they may overlap.
        truth: masks of the same shape.
        names: K names.
        spacing: of the voxels in mm; ``None``: distances are in voxels.
        tolerance: of the surface Dice, in the unit of ``spacing``.
        empty: ``"skip"``: no score, NaN; ``"one"``: a full score.

    Returns:
        By name: ``dice``, ``iou``, ``surface_dice`` in [0, 1], and ``hd95`` in the unit of ``spacing``.

    Raises:
        ValueError: when shapes, names or ``empty`` do not fit.
    """
    _check_empty(empty)
    if predicted.shape != truth.shape or truth.ndim not in (3, 4) or len(names) != len(truth):
        raise ValueError(
            f"Masks must be (K, *spatial) with K names, got {tuple(predicted.shape)} predicted, {tuple(truth.shape)} "
            f"true and {len(names)} names."
        )
    p, t = predicted.bool()[None], truth.bool()[None]
    found = {
        "dice": compute_dice(p, t, ignore_empty=False)[0],
        "iou": compute_iou(p, t, ignore_empty=False)[0],
        "surface_dice": _surface_dice(p, t, spacing, tolerance),
        "hd95": _hd95(p, t, spacing),
    }
    absent = ~(p[0].flatten(1).any(1) | t[0].flatten(1).any(1))
    for metric in ("dice", "iou", "surface_dice"):
        found[metric] = found[metric].masked_fill(absent, 1.0 if empty == "one" else math.nan)
    return {name: {metric: float(values[k]) for metric, values in found.items()} for k, name in enumerate(names)}


def summarize(scores: Sequence[float | None]) -> Summary:
    """Return the mean over cases and how many there are with and without a score; infinite is without."""
    finite = [s for s in scores if s is not None and math.isfinite(s)]
    mean = math.fsum(finite) / len(finite) if finite else math.nan
    return Summary(mean, len(finite), len(scores) - len(finite))


def mean_iou(
    probabilities: Sequence[Tensor],
    truths: Sequence[Tensor],
    *,
    background: bool = True,
    pooling: Pooling = "per_case",
    empty: Empty = "skip",
) -> Summary:
    """Return mIoU, or with ``background=False`` mIoU+: IoU averaged over cut-offs of the probability.

    At each cut-off in 0.50, 0.55, ..., 0.95 voxels with a probability above it, not at it, are foreground. mIoU takes
    the mean of the IoU of foreground and background, mIoU+ that of the foreground.

    Args:
        probabilities: of the foreground, one tensor (*spatial) a case, in [0, 1].
        truths: masks of the same shapes.
        background: see above.
        pooling: ``"per_case"``: mean over cases; ``"dataset"``: all voxels of all cases together, as one case.
        empty: what a cut-off counts at which the foreground is neither there nor predicted: nothing or 1.

    Raises:
        ValueError: when there are no cases, shapes differ, or an option is not known.
    """
    _check_empty(empty)
    if pooling not in ("per_case", "dataset"):
        raise ValueError(f"`pooling` must be 'per_case' or 'dataset', got {pooling!r}.")
    if not truths or len(probabilities) != len(truths):
        raise ValueError(f"Give one map and one mask a case, got {len(probabilities)} and {len(truths)}.")
    counts = torch.stack([_counts(p, t) for p, t in zip(probabilities, truths, strict=True)])
    counts = counts.sum(0, keepdim=True) if pooling == "dataset" else counts
    both, predicted, true, voxels = counts.double().unbind(-1)
    foreground = both / (predicted + true - both)
    if empty == "one":
        foreground = foreground.nan_to_num(1.0)
    negative = voxels - predicted - true + both
    # a background that is neither there nor predicted is found as it should be
    behind = (negative / (voxels - both)).nan_to_num(1.0)
    scores = (foreground + behind) / 2 if background else foreground
    return summarize(scores.nanmean(1).tolist())


def binary_scores(probability: Tensor, positive: Tensor, cutoff: float = 0.5) -> dict[str, float]:
    """Return the scores of a classification into two classes; NaN for one that needs a class which is not there.

    Args:
        probability: of the positive class (N,).
        positive: truth (N,).
        cutoff: images above it are called positive.

    Returns:
        ``auc``, ``accuracy``, ``recall`` (accuracy of the positive images) and ``specificity`` (of the negative ones),
        in [0, 1].

    Raises:
        ValueError: when shapes do not fit, or a probability is not a number.
    """
    true = positive.bool()
    if probability.ndim != 1 or probability.shape != true.shape or len(true) == 0:
        raise ValueError(
            f"Give N probabilities and N classes, got {tuple(probability.shape)} and {tuple(positive.shape)}."
        )
    if probability.isnan().any():
        raise ValueError(f"{int(probability.isnan().sum())} of {len(true)} probabilities are not a number.")
    right = ((probability > cutoff) == true).double()
    both = bool(true.any()) and not bool(true.all())
    return {
        "auc": area_under_curve(probability, true) if both else math.nan,
        "accuracy": float(right.mean()),
        "recall": float(right[true].mean()),
        "specificity": float(right[~true].mean()),
    }


def class_aucs(probabilities: Tensor, truth: Tensor, names: Sequence[str]) -> dict[str, float]:
    """Return the AUC of each class against the rest; NaN for a class that no image or every image has.

    Args:
        probabilities: (N, K).
        truth: classes (N,), or (N, K) of 0 and 1 where an image may have several.
        names: K names.

    Raises:
        ValueError: when shapes do not fit.
    """
    if probabilities.ndim != 2 or probabilities.shape[1] != len(names) or len(truth) != len(probabilities):
        raise ValueError(
            f"Give probabilities (N, K), N classes and K names, got {tuple(probabilities.shape)}, "
            f"{tuple(truth.shape)} and {len(names)} names."
        )
    member = truth.bool() if truth.ndim == 2 else truth[:, None] == torch.arange(len(names), device=truth.device)
    return {name: binary_scores(probabilities[:, k], member[:, k])["auc"] for k, name in enumerate(names)}


def mean_of_classes(scores: Mapping[str, float]) -> float:
    """Return the mean over the classes that have a score; NaN when none has."""
    return summarize(list(scores.values())).mean


def _counts(probability: Tensor, truth: Tensor) -> Tensor:
    """Return, a cut-off a row, the voxels that are (predicted and true, predicted, true, all)."""
    if probability.shape != truth.shape:
        raise ValueError(f"A map of shape {tuple(probability.shape)} has a mask of shape {tuple(truth.shape)}.")
    p, t = probability.flatten(), truth.flatten().bool()
    rows = [torch.stack([(m & t).sum(), m.sum(), t.sum()]) for m in (p > threshold for threshold in THRESHOLDS)]
    counts = torch.stack(rows).cpu()
    return torch.cat([counts, torch.full_like(counts[:, :1], t.numel())], dim=1)


def _hd95(p: Tensor, t: Tensor, spacing: Sequence[float] | None) -> Tensor:
    found = torch.full(t.shape[1:2], math.nan)
    for k, predicted, true in _with_surfaces(p, t):
        found[k] = compute_hausdorff_distance(
            predicted, true, include_background=True, percentile=95, spacing=spacing
        ).item()
    return found


def _surface_dice(p: Tensor, t: Tensor, spacing: Sequence[float] | None, tolerance: float) -> Tensor:
    found = torch.zeros(t.shape[1])
    for k, predicted, true in _with_surfaces(p, t):
        found[k] = compute_surface_dice(predicted, true, [tolerance], include_background=True, spacing=spacing).item()
    return found


def _with_surfaces(p: Tensor, t: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yield number and masks (1, 1, *spatial) of the structures that are both there and predicted."""
    for k in range(t.shape[1]):
        if p[0, k].any() and t[0, k].any():
            yield k, p[:, k : k + 1].float(), t[:, k : k + 1].float()


def _check_empty(empty: str) -> None:
    if empty not in ("skip", "one"):
        raise ValueError(f"`empty` must be 'skip' or 'one', got {empty!r}.")


__all__ = [
    "THRESHOLDS",
    "Summary",
    "binary_scores",
    "class_aucs",
    "mean_iou",
    "mean_of_classes",
    "segmentation_scores",
    "summarize",
]
