"""Linear interpolation (grid sampling) at places between voxels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from monai_ssl.transforms.base import expand
from monai_ssl.transforms.spatial.compiled import compiled

_AT_ONCE = 1 << 16
"""Places treated at once: what a cache holds."""


def interpolate(x: Tensor, places: Sequence[Tensor], outside: Tensor | None = None) -> Tensor:
    """Return the values of images at places between their voxels.

    With zeros outside it equals ``grid_sample`` with ``padding_mode="zeros"``, whose kernel for volumes on a CPU takes
    one voxel at a time.

    Args:
        x: float32 (B, C, *spatial).
        places: for each spatial axis, in voxels, (B, *out).
        outside: the value of what lies outside (B, C); zero if not given.

    Returns:
        (B, C, *out)
    """
    if outside is None:
        outside = x.new_zeros(x.shape[:2])
    if x.device.type == "cpu" and len(places) == 3:
        return _of_eight(x, places, outside)
    # it counts in half image sizes (align_corners=False) and names the last axis first
    grid = [(2 * place + 1) / size - 1 for place, size in zip(places, x.shape[2:], strict=True)]
    outside = expand(outside, x.ndim)
    return F.grid_sample(x - outside, torch.stack(grid[::-1], dim=-1), align_corners=False).add_(outside)


def _of_eight(x: Tensor, places: Sequence[Tensor], outside: Tensor) -> Tensor:
    """Weigh the eight voxels around each place, each read for many places at once."""
    kernel = compiled()
    out = x.new_empty(*x.shape[:2], places[0][0].numel())
    flat = [x, outside, out, *(place.flatten(1) for place in places)]
    for images, around, to, *at in zip(*(v.split(samples_at_once(out.shape[2])) for v in flat), strict=True):
        # (C, samples, *spatial); all places outside are moved to a frame, in which behind the second voxel lies, too
        framed = x.new_empty(x.shape[1], len(images), *(size + 3 for size in x.shape[2:]))
        framed[:] = expand(around.T, 5)
        framed[:, :, 1:-2, 1:-2, 1:-2] = images.transpose(0, 1)
        if kernel is not None and not framed.requires_grad:
            _compiled(kernel, framed, at, to)
            continue
        for into, *part in zip(to.split(_AT_ONCE, 2), *(place.split(_AT_ONCE, 1) for place in at), strict=True):
            first, shares = _corners(part, framed[0])
            for channel, values in zip(framed.flatten(1), into.unbind(1), strict=True):
                values.copy_(_weighed(channel, first, framed.stride()[2:], shares).view_as(values))
    return out.unflatten(2, places[0].shape[1:])


def _compiled(kernel: Callable[..., None], framed: Tensor, at: Sequence[Tensor], out: Tensor) -> None:
    """Fill ``out`` (samples, C, n) from volumes with their frames (C, samples, *spatial) at places (samples, n)."""
    plane, row, _ = framed.stride()[2:]
    ends = torch.tensor(framed.shape[2:], dtype=torch.float32).sub(2).numpy()
    for volumes, values in zip(framed.flatten(2), out.unbind(1), strict=True):
        for volume, into, *places in zip(volumes, values, *at, strict=True):
            flat = (place.contiguous().numpy() for place in places)
            kernel(volume.numpy(), np.int32(row), np.int32(plane), *flat, ends, into.numpy())


def samples_at_once(places: int) -> int:
    """How many samples with so many ``places`` a cache holds."""
    return max(1, _AT_ONCE // max(1, places))


def _corners(places: Sequence[Tensor], framed: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return the index of the first of the eight voxels, and along each axis the share of the second ones."""
    inside = [place.add(1).clamp_(0, size - 2) for place, size in zip(places, framed.shape[1:], strict=True)]
    voxels = [at.int().mul_(stride) for at, stride in zip(inside, framed.stride()[1:], strict=True)]
    first = voxels[0].add_(voxels[1]).add_(voxels[2])
    for number, sample in enumerate(first[1:], 1):
        sample.add_(number * framed.stride(0))
    return first.flatten(), [at.frac_().flatten() for at in inside]


def _weighed(channel: Tensor, first: Tensor, strides: Sequence[int], shares: Sequence[Tensor]) -> Tensor:
    """Return the mean along all axes, the first axis last: few values are then held at a time."""
    if not strides:
        return channel.index_select(0, first)
    low, high = (_weighed(channel[behind:], first, strides[1:], shares[1:]) for behind in (0, strides[0]))
    return low.lerp_(high, shares[0])


__all__ = ["interpolate", "samples_at_once"]
