"""The union of boxes as a mask, for a whole batch at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def box_mask(start: Tensor, size: Tensor, spatial: Sequence[int]) -> Tensor:
    """Return where any box lies, boolean (B, 1, *spatial).

    Args:
        start: first voxel of each box (B, K, D); may lie outside the image.
        size: voxels along each axis (B, K, D); a box with a side of 0 is none.
        spatial: the D sides of the image.
    """
    along = []
    for axis, side in enumerate(spatial):
        voxel = torch.arange(side, device=start.device)
        first = start[..., axis, None]
        along.append(((voxel >= first) & (voxel < first + size[..., axis, None])).float())
    rows = along[0]
    for inside in along[1:-1]:
        rows = (rows.unsqueeze(-1) * inside.unsqueeze(2)).flatten(2)
    # how many boxes hold a voxel, as one product over the boxes: (B, rows, K) @ (B, K, last axis)
    count = rows.transpose(1, 2) @ along[-1]
    return (count > 0).reshape(len(start), 1, *spatial)
