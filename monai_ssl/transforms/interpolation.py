"""Linear interpolation at places between the voxels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

_AT_ONCE = 1 << 15
"""Places treated at once: what a cache holds."""


def interpolate(x: Tensor, places: Sequence[Tensor]) -> Tensor:
    """Return the values of images at places between their voxels; what lies outside counts as zero.

    Equals ``grid_sample`` with ``padding_mode="zeros"``, whose kernel for volumes on a CPU takes one voxel at a time.

    Args:
        x: float32 (B, C, *spatial).
        places: for each spatial axis, in voxels, (B, *out).

    Returns:
        (B, C, *out)
    """
    if x.device.type == "cpu" and len(places) == 3:
        return _of_eight(x, places)
    # it counts in half image sizes (align_corners=False) and names the last axis first
    grid = [(2 * place + 1) / size - 1 for place, size in zip(places, x.shape[2:], strict=True)]
    return F.grid_sample(x, torch.stack(grid[::-1], dim=-1), align_corners=False)


def _of_eight(x: Tensor, places: Sequence[Tensor]) -> Tensor:
    """Weigh the eight voxels around each place, each read for many places at once."""
    # all places outside are moved to a frame of zeros; behind, the second voxel lies in it, too
    framed = F.pad(x, (1, 2) * 3)
    strides = [math.prod(framed.shape[axis + 1 :]) for axis in (2, 3, 4)]
    out = x.new_empty(*x.shape[:2], places[0][0].numel())
    for sample, to, *at in zip(framed.flatten(2), out, *(place.flatten(1) for place in places), strict=True):
        for into, *part in zip(to.split(_AT_ONCE, 1), *(place.split(_AT_ONCE) for place in at), strict=True):
            first, shares = _corners(part, x.shape[2:], strides)
            for channel, values in zip(sample, into, strict=True):
                _weigh(channel, first, strides, shares, values)
    return out.unflatten(2, places[0].shape[1:])


def _corners(places: Sequence[Tensor], spatial: Sequence[int], strides: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
    """Return the index of the first of the eight voxels, and along each axis the share of the second ones."""
    first, shares = torch.zeros((), dtype=torch.int32), []
    for place, size, stride in zip(places, spatial, strides, strict=True):
        inside = place.add(1).clamp_(0, size + 1)
        first = first.add(inside.int(), alpha=stride)
        shares.append(inside.frac_())
    return first.long(), shares


def _weigh(channel: Tensor, first: Tensor, strides: Sequence[int], shares: Sequence[Tensor], into: Tensor) -> None:
    values = [
        channel[i * strides[0] + j * strides[1] + k * strides[2] :].index_select(0, first)
        for i in (0, 1)
        for j in (0, 1)
        for k in (0, 1)
    ]
    for share in shares[:0:-1]:
        values = [low.lerp_(high, share) for low, high in zip(values[::2], values[1::2], strict=True)]
    torch.lerp(values[0], values[1], shares[0], out=into)


__all__ = ["interpolate"]
