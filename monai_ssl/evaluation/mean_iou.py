"""mIoU and mIoU+: intersection over union of probability maps, averaged over cut-offs of the probability.

Zhang and Gu, "Dive into Self-Supervised Learning for Medical Image Analysis", 2022, https://arxiv.org/abs/2209.12157,
with cut-offs as in the Keras code of Models Genesis.
"""

from __future__ import annotations

import torch
from torch import Tensor

THRESHOLDS = tuple(percent / 100 for percent in range(50, 100, 5))
"""Cut-offs of the probability: 0.50, 0.55, ..., 0.95."""


def mean_iou(probability: Tensor, truth: Tensor, *, background: bool = True) -> Tensor:
    """Return mIoU, or with ``background=False`` mIoU+, of each structure of one image.

    At each cut-off voxels with a probability above it, not at it, are foreground. mIoU takes the mean of the IoU of
    foreground and background, mIoU+ that of the foreground. A cut-off at which a structure is neither there nor
    predicted counts for nothing.

    Args:
        probability: of each structure (K, *spatial), in [0, 1].
        truth: masks of the same shape.
        background: see above.

    Returns:
        (K,) in [0, 1]; not a number for a structure that is neither there nor predicted at any cut-off.

    Raises:
        ValueError: when shapes differ.

    >>> truth = torch.tensor([[True, True, False, False]])
    >>> mean_iou(0.72 * truth, truth, background=False)
    tensor([0.5000])
    """
    if probability.shape != truth.shape or truth.ndim < 2:
        raise ValueError(
            f"Probability and mask must both be (K, *spatial), got {tuple(probability.shape)} and {tuple(truth.shape)}."
        )
    p, t = probability.flatten(1), truth.flatten(1).bool()
    rows = [torch.stack([(m & t).sum(1), m.sum(1)]) for m in (p > threshold for threshold in THRESHOLDS)]
    (both, predicted), true = torch.stack(rows).double().unbind(1), t.sum(1).double()
    foreground = both / (predicted + true - both)
    if not background:
        return foreground.nanmean(0).float()
    # a background that is neither there nor predicted is found as it should be
    behind = ((t.shape[1] - predicted - true + both) / (t.shape[1] - both)).nan_to_num(1.0)
    return ((foreground + behind) / 2).nanmean(0).float()


__all__ = ["THRESHOLDS", "mean_iou"]
