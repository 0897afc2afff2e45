"""Precise RoI pooling: the exact mean of an interpolated feature map over each cell of a box.

Jiang et al., "Acquisition of Localization Confidence for Accurate Object Detection", ECCV 2018,
https://arxiv.org/abs/1807.11590.
"""

from __future__ import annotations

import torch
from torch import Tensor


def roi_pool(x: Tensor, box: Tensor, cells: int) -> Tensor:
    """Return the means (B, C, cells, ...) over the cells of a box in each map, whatever its resolution.

    A map is interpolated linearly between the centers of its voxels and constant beyond the outer ones; its mean over a
    cell is an exact integral, and separable: one matrix an axis, so no order of axes can be mistaken.

    Args:
        x: maps (B, C, *spatial).
        box: (B, 2, D), edges along each axis as shares of the image, 0 to 1, the lower first.
        cells: along each axis.

    >>> x = torch.arange(8.0).reshape(1, 1, 8, 1).expand(1, 1, 8, 4)
    >>> roi_pool(x, torch.tensor([[[0.25, 0.0], [0.75, 1.0]]]), 2)[0, 0, :, 0]  # voxels 2, 3 and 4, 5
    tensor([2.5000, 4.5000])
    """
    with torch.autocast(x.device.type, enabled=False):
        pooled = x.float()
        for axis in range(2, x.ndim):
            weights = _cell_weights(box[:, :, axis - 2].float(), x.shape[axis], cells)
            lines = pooled.movedim(axis, -1)
            means = lines.flatten(1, -2) @ weights.transpose(1, 2)
            pooled = means.unflatten(1, lines.shape[1:-1]).movedim(-1, axis)
        return pooled


def _cell_weights(edges: Tensor, side: int, cells: int) -> Tensor:
    """Return what each voxel of an axis contributes to each cell, (B, cells, side), for edges (B, 2)."""
    low, high = (edges * side - 0.5).unbind(1)
    steps = torch.arange(cells + 1, device=edges.device) / cells
    borders = low[:, None] + steps * (high - low)[:, None]
    voxels = torch.arange(side, device=edges.device)
    distance = borders[:, :, None] - voxels
    near = distance.clamp(-1, 1)
    # integral of the hat function of a voxel, from the left
    integral = 0.5 + near - 0.5 * near * near.abs()
    # beyond the outer voxels their value goes on: the hat has a flat side there
    before, behind = near.clamp_max(0), near.clamp_min(0)
    left = distance.clamp_max(0) - before - 0.5 * before.square()
    right = distance.clamp_min(0) - behind + 0.5 * behind.square()
    integral = integral + left * (voxels == 0) + right * (voxels == side - 1)
    return integral.diff(dim=1) / (high - low)[:, None, None] * cells


__all__ = ["roi_pool"]
