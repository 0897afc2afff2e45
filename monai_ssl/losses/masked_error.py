"""Restoration error of masked voxels, the loss of masked image modeling (MAE, SimMIM, SparK)."""

from __future__ import annotations

import torch
from torch import Tensor

from monai_ssl.arguments import check_choice

DISTANCES = ("mse", "l1", "huber")


def masked_error(restored: Tensor, target: Tensor, visible: Tensor, distance: str = "mse") -> Tensor:
    r"""Mean over masked voxels and channels of each sample, then over samples: visible voxels have no gradient at all.

    :math:`\frac1B\sum_b \frac{\sum (1 - m_b)\, d(\hat x_b, x_b)}{C \sum (1 - m_b)}`, in float32 under autocast. Every
    sample counts alike, so it is the same for a whole batch and for its parts on several processes.

    Args:
        restored: (B, C, *spatial).
        target: (B, C, *spatial).
        visible: (B, 1, *spatial), 1 where visible and 0 where masked.
        distance: ``"mse"``, ``"l1"``, or ``"huber"`` with threshold 1.

    Returns:
        A scalar; 0 for samples of which nothing is masked.

    Raises:
        ValueError: for another distance.
    """
    check_choice(DISTANCES, distance=distance)
    error = restored.float() - target.float()
    if distance == "huber":
        size = error.abs()
        error = torch.where(size < 1, 0.5 * error.square(), size - 0.5)
    else:
        error = error.square() if distance == "mse" else error.abs()
    masked = (1 - visible.float()).flatten(1)
    sums = (error.flatten(2) * masked.unsqueeze(1)).sum((1, 2))
    return (sums / (masked.sum(1) * error.shape[1]).clamp_min(1.0)).mean()


def visible_mean(x: Tensor, visible: Tensor) -> Tensor:
    """Return the mean (B, C, 1, ...) of the visible voxels of images (B, C, *spatial), in float32."""
    axes = tuple(range(2, x.ndim))
    seen = visible.float()
    total: Tensor = (x.float() * seen).sum(axes, keepdim=True) / seen.sum(axes, keepdim=True).clamp_min(1.0)
    return total


def explained(restored: Tensor, target: Tensor, visible: Tensor) -> Tensor:
    """Return the share of what is masked that a restoration explains: 1 is perfect, 0 is no better than the mean.

    One minus the squared error, divided by that of the mean of the visible voxels of each sample.
    """
    trivial = visible_mean(target, visible).expand_as(target)
    error, without = masked_error(restored, target, visible), masked_error(trivial, target, visible)
    return 1 - error / without.clamp_min(torch.finfo(torch.float32).tiny)
