"""Straight rays from one point of an image to its border, for a whole batch at once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monai_ssl.transforms.intensity.blur import RandGaussianBlurd


def ray_ends(random: np.random.RandomState, num_rays: int, spatial: Sequence[int]) -> NDArray[np.int64]:
    """Return where rays end (num_rays, D): equally many on each border, the rest on borders drawn without repetition.

    Args:
        random: source of the draws.
        num_rays: on all borders together.
        spatial: the D sides of the image.
    """
    dims = len(spatial)
    borders = random.permutation(2 * dims)[np.arange(num_rays) % (2 * dims)]
    ends = random.randint(0, spatial, size=(num_rays, dims))
    axis, far = borders // 2, borders % 2
    ends[np.arange(num_rays), axis] = far * (np.asarray(spatial)[axis] - 1)
    return ends


def ray_offsets(thickness: float, dims: int) -> NDArray[np.int64]:
    """Return all steps (N, D) from the rounded points of a ray to the voxels that it may cover."""
    reach = range(-int(thickness / 2 + 1), int(thickness / 2 + 1) + 1)
    offsets = np.array(list(product(reach, repeat=dims)))
    # half a step along the ray and half a voxel of rounding, each at most sqrt(dims) / 2
    return offsets[np.linalg.norm(offsets, axis=1) <= thickness / 2 + dims**0.5]


def ray_mask(origin: Tensor, ends: Tensor, thickness: Tensor, offsets: Tensor, spatial: Sequence[int]) -> Tensor:
    """Return which voxels lie within half a ``thickness`` of a ray, boolean (B, 1, *spatial).

    Only the surroundings of points one voxel apart on each ray are looked at, one offset after the other: the memory
    is that of B * rays * longest side points, however thick the rays.

    Args:
        origin: voxel where the rays start (B, D).
        ends: voxels where they end (B, rays, D).
        thickness: in voxels (B,).
        offsets: of :func:`ray_offsets` for this thickness or a larger one (B, N, D), the same for all samples.
        spatial: the D sides of the image.
    """
    sides = torch.tensor(spatial, device=ends.device)
    start, way = origin[:, None, None].float(), (ends - origin[:, None])[:, :, None].float()
    t = torch.linspace(0.0, 1.0, max(spatial), device=ends.device)[:, None]
    points = (start + t * way).round()
    length = way.square().sum(-1).clamp_min(1.0)
    strides = torch.tensor([int(np.prod(spatial[axis + 1 :])) for axis in range(len(spatial))], device=ends.device)
    size = int(np.prod(spatial))
    # one voxel more, where everything is put that no ray covers
    mask = torch.zeros(len(ends), size + 1, dtype=torch.bool, device=ends.device)
    for offset in offsets[0]:
        voxel = points + offset
        from_start = voxel - start
        along = ((from_start * way).sum(-1) / length).clamp_(0.0, 1.0)
        distance = (from_start - along[..., None] * way).square().sum(-1)
        covered = distance <= (thickness / 2).square()[:, None, None] + 1e-4
        covered &= ((voxel >= 0) & (voxel < sides)).all(-1)
        index = torch.where(covered, (voxel.long() * strides).sum(-1), size)
        mask.scatter_(1, index.flatten(1), True)
    return mask[:, :-1].reshape(-1, 1, *spatial)


def ball_mask(center: Tensor, radius: Tensor, spatial: Sequence[int]) -> Tensor:
    """Return which voxels lie within ``radius`` (B,) of ``center`` (B, D), boolean (B, 1, *spatial)."""
    dims = len(spatial)
    distance = torch.zeros(len(center), *[1] * dims, device=center.device)
    for axis, side in enumerate(spatial):
        along = torch.arange(side, device=center.device) - center[:, axis, None]
        distance = distance + along.square().reshape(-1, *[side if a == axis else 1 for a in range(dims)])
    return (distance <= radius.square().reshape(-1, *[1] * dims))[:, None]


def brightest(x: Tensor, sigma: float) -> Tensor:
    """Return the brightest voxel (B, D) of the average channel of ``x`` (B, C, *spatial), blurred by ``sigma``."""
    gray = x.mean(1, keepdim=True)
    spatial = x.shape[2:]
    blurred = RandGaussianBlurd.kernel(gray, {"sigma": gray.new_full((len(x), len(spatial)), sigma)})
    index = blurred.flatten(1).argmax(1)
    found = []
    for side in reversed(spatial):
        found.append(index % side)
        index = index // side
    return torch.stack(found[::-1], dim=1)
