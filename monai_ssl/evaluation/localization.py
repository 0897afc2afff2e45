"""Weakly supervised localization: bounding boxes from heat maps, scored by IoU.

Haghighi et al., "DiRA", CVPR 2022, https://arxiv.org/abs/2204.10437, Sec. 5.3, after Wang et al., "ChestX-ray8:
Hospital-scale Chest X-ray Database and Benchmarks on Weakly-Supervised Classification and Localization of Common Thorax
Diseases", CVPR 2017, https://arxiv.org/abs/1705.02315, whose levels and thresholds are the defaults.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.data.box_utils import box_iou
from torch import Tensor

LEVELS = (60 / 255, 180 / 255)
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)


def heat_boxes(heat: Tensor, levels: Sequence[float] = LEVELS) -> Tensor:
    """Return the boxes (N, 2 D) around the connected regions that are hotter than a level, hottest region first.

    Args:
        heat: (*spatial), 2-D or 3-D, at least 0, such as one map of :func:`monai_ssl.evaluation.grad_cam`.
        levels: shares of the largest value, in [0, 1); the regions of each give boxes, equal boxes count once.

    Returns:
        First voxel along each axis, then the one behind the last: MONAI's corner format. Empty for a map without heat.

    Raises:
        ValueError: when the map is not 2-D or 3-D, or a level is out of range.
    """
    from scipy.ndimage import find_objects, label

    if heat.ndim not in (2, 3):
        raise ValueError(f"Boxes are made of a map (*spatial) in 2-D or 3-D, got {tuple(heat.shape)}.")
    if not levels or not all(0 <= level < 1 for level in levels):
        raise ValueError(f"`levels` must be shares of the largest value in [0, 1), got {list(levels)}.")
    values = heat.detach().as_subclass(Tensor).double().cpu().numpy()
    found: dict[tuple[int, ...], float] = {}
    for level in levels:
        regions, _ = label(values > level * values.max())
        for number, cut in enumerate(find_objects(regions), start=1):
            box = (*(c.start for c in cut), *(c.stop for c in cut))
            peak = float(values[cut][regions[cut] == number].max())
            found[box] = max(peak, found.get(box, 0.0))
    boxes = sorted(found, key=lambda box: -found[box])
    return torch.tensor(boxes, dtype=torch.float32).reshape(-1, 2 * heat.ndim)


def localization_scores(
    predicted: Sequence[Tensor], truth: Sequence[Tensor], thresholds: Sequence[float] = THRESHOLDS
) -> dict[str, float]:
    """Score boxes of images that have a finding, of one kind, since findings differ in size and so in difficulty.

    Args:
        predicted: boxes (N, 2 D) for each image, see :func:`heat_boxes`; N may be 0.
        truth: boxes (M, 2 D) for each image, M of at least 1, in the same format.
        thresholds: a true box is found, and a predicted one right, when their IoU is larger.

    Returns:
        ``iou``: mean over true boxes of the IoU with the best predicted one; for each threshold t ``accuracy/t``: share
        of true boxes found, and ``false_positives/t``: boxes per image that are right for no true box.

    Raises:
        ValueError: when the numbers of images differ, there are none, an image has no true box, or a box is no box.
    """
    if len(predicted) != len(truth) or len(truth) == 0:
        raise ValueError(f"Boxes of {len(predicted)} images cannot be compared with those of {len(truth)}.")
    overlaps = [_overlap(p, t, number) for number, (p, t) in enumerate(zip(predicted, truth, strict=True))]
    best = torch.cat([overlap.amax(0) if len(overlap) else torch.zeros(overlap.shape[1]) for overlap in overlaps])
    scores = {"iou": float(best.double().mean())}
    for threshold in thresholds:
        wrong = sum(int((overlap.amax(1) <= threshold).sum()) for overlap in overlaps)
        scores[f"accuracy/{threshold}"] = float((best > threshold).double().mean())
        scores[f"false_positives/{threshold}"] = wrong / len(overlaps)
    return scores


def _overlap(predicted: Tensor, truth: Tensor, number: int) -> Tensor:
    dims = truth.shape[-1] // 2
    for boxes in (predicted, truth):
        if boxes.ndim != 2 or dims not in (2, 3) or boxes.shape[1] != 2 * dims:
            raise ValueError(
                f"Boxes of image {number} must be (N, 4) or (N, 6), predicted and true ones alike, got "
                f"{tuple(predicted.shape)} and {tuple(truth.shape)}."
            )
        if bool((boxes[:, :dims] >= boxes[:, dims:]).any()):
            raise ValueError(f"A box of image {number} is empty: its first corner must come before its last.")
    if len(truth) == 0:
        raise ValueError(f"Image {number} has no true box; localization is only asked where there is a finding.")
    return torch.as_tensor(box_iou(predicted.float().cpu(), truth.float().cpu()))


__all__ = ["heat_boxes", "localization_scores"]
