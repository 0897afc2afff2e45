"""Read a window of a scan and resize it as the papers' code does."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.data import MetaTensor
from torch import Tensor

from monai_ssl.transforms.crops.boxes import Box

MIN_EXTENT = 8
"""Voxels that a scan needs along every axis: less is a slice, not a volume."""


def spatial_shape(scan: Any, dims: int, user: str) -> np.ndarray:
    """Return the spatial shape (D,) of a scan (C, *spatial) after checking that windows can be cut from it.

    Args:
        scan: has ``shape``; its ``key``, if any, names it in messages.
        dims: number of spatial axes expected.
        user: who asks, for messages.

    Raises:
        ValueError: when the number of axes is not ``dims`` or the scan is thinner than 8 voxels.
    """
    shape = tuple(scan.shape)
    name = f"`{scan.key}`" if isinstance(getattr(scan, "key", None), str) else "the scan"
    if len(shape) != dims + 1:
        raise ValueError(f"`{user}` cuts {dims}-D windows from (C, *spatial), but {name} has the shape {shape}.")
    if min(shape[1:]) < MIN_EXTENT:
        raise ValueError(
            f"`{user}` needs at least {MIN_EXTENT} voxels along every axis, but {name} has the shape {shape}: "
            "leave this scan out, or prepare it with a finer spacing."
        )
    return np.array(shape[1:])


def read_window(scan: Any, box: Box) -> Tensor:
    """Read ``box`` of a scan or tensor (C, *spatial) as a float32 tensor (C, *box.size); reads nothing else."""
    where = (slice(None), *map(slice, box.start.tolist(), box.stop.tolist()))
    window = scan[where]
    if isinstance(window, Tensor):
        return (window.as_tensor() if isinstance(window, MetaTensor) else window).to(torch.float32)
    return torch.from_numpy(np.require(window, np.float32, ("C", "W")))


def with_channels(x: Tensor, channels: int | None) -> Tensor:
    """Return (C, *spatial) with one channel repeated to ``channels``; ``None`` leaves the channels as they are.

    Raises:
        ValueError: when there are several channels, and not ``channels`` of them.
    """
    if channels in (None, len(x)):
        return x
    if len(x) != 1:
        raise ValueError(f"`channels` {channels} can only be made from one channel, the scan has {len(x)}.")
    return x.expand(channels, *x.shape[1:]).contiguous()


def resize(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Resize (C, *spatial) to (C, *size), linear and anti-aliased; always new memory.

    3-D as scikit-image, hence as the papers' 3-D code: a Gaussian of standard deviation (factor - 1) / 2 along axes
    that shrink, then trilinear interpolation. Equal to MONAI's ``Resize(mode="trilinear", anti_aliasing=True,
    align_corners=False)`` except near the border, where MONAI blurs zeros in and this repeats the border voxel.
    2-D as the image library of the papers' 2-D code: bilinear with a triangle filter that widens when shrinking.
    """
    if tuple(x.shape[1:]) == tuple(size):
        return x.clone(memory_format=torch.contiguous_format)
    if x.ndim == 3:
        return F.interpolate(x[None], size=size, mode="bilinear", align_corners=False, antialias=True)[0]
    # both steps are linear and separable: one small matrix per axis is 10 times as fast as filter and interpolation
    for axis in range(x.ndim - 1, 0, -1):
        if x.shape[axis] != size[axis - 1]:
            x = _resize_axis(x, axis, size[axis - 1])
    return x


def _resize_axis(x: Tensor, axis: int, out: int) -> Tensor:
    before, length, after = math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :])
    weights = _axis_weights(length, out).to(x.device)
    shape = (*x.shape[:axis], out, *x.shape[axis + 1 :])
    if after == 1:
        return (x.reshape(before, length) @ weights.T).reshape(shape)
    return (weights @ x.reshape(before, length, after)).reshape(shape)


@functools.lru_cache(maxsize=256)
def _axis_weights(length: int, out: int) -> Tensor:
    """Return the matrix (out, length) that blurs and interpolates one axis."""
    impulses = torch.eye(length, dtype=torch.float64)[:, None]
    sigma = (length / out - 1) / 2
    if sigma > 0:
        tail = int(max(4 * sigma, 0.5) + 0.5)
        edges = torch.erf((torch.arange(-tail, tail + 2, dtype=torch.float64) - 0.5) / (sigma * math.sqrt(2)))
        kernel = edges.diff() / edges.diff().sum()
        impulses = F.conv1d(F.pad(impulses, (tail, tail), mode="replicate"), kernel[None, None])
    return F.interpolate(impulses, size=out, mode="linear", align_corners=False)[:, 0].T.float().contiguous()
