"""Affine maps and flows in voxels, and warping by both, differentiable.

As in He et al., "Geometric Visual Similarity Learning in 3D Medical Image Self-supervised Pre-training", CVPR 2023,
https://arxiv.org/abs/2303.00874.
"""

from __future__ import annotations

from itertools import combinations
from math import radians

import torch
import torch.nn.functional as F
from torch import Tensor

DEGREES, SCALE, SHEAR = 20.0, 0.25, 10.0
"""Largest rotation in degrees, change of scale, and shear in degrees."""


def affine_map(numbers: Tensor, dims: int) -> tuple[Tensor, Tensor]:
    """Return the matrix (B, D, D) and the shift (B, D), in halves of the image, that ``numbers`` (B, D (D + 1)) mean.

    In turn: rotations in the planes of each two axes, at most 20 degrees; changes of scale, at most a quarter; shears,
    at most 10 degrees; shifts. Zeros mean the identity. The matrix works on voxels, so that turns keep distances in
    images of any shape.

    >>> affine_map(torch.zeros(1, 6), 2)
    (tensor([[[1., 0.],
             [0., 1.]]]), tensor([[0., 0.]]))
    """
    planes = list(combinations(range(dims), 2))
    with torch.autocast(numbers.device.type, enabled=False):
        turns, scales, shears, shift = numbers.float().split([len(planes), dims, len(planes), dims], 1)
        matrix = torch.diag_embed(1 + SCALE * scales.tanh())
        unit = torch.eye(dims, device=numbers.device)
        sheared = unit.expand(len(numbers), dims, dims)
        for number, (a, b) in enumerate(planes):
            slope = (radians(SHEAR) * shears[:, number].tanh()).tan()
            sheared = sheared + slope[:, None, None] * torch.outer(unit[a], unit[b])
            angle = (radians(DEGREES) * turns[:, number].tanh())[:, None, None]
            kept = torch.outer(unit[a], unit[a]) + torch.outer(unit[b], unit[b])
            turned = torch.outer(unit[b], unit[a]) - torch.outer(unit[a], unit[b])
            matrix = (unit + (angle.cos() - 1) * kept + angle.sin() * turned) @ matrix
        return matrix @ sheared, shift


def warp(x: Tensor, affine: tuple[Tensor, Tensor], flow: Tensor | None = None) -> Tensor:
    """Return the image whose voxel at p shows ``x`` (B, C, *spatial) at A(p + flow(p)), p counted from the center.

    Args:
        x: what is seen.
        affine: of :func:`affine_map`.
        flow: in voxels, (B, D, *spatial); none, if not given.

    >>> x = torch.arange(4.0).reshape(1, 1, 1, 4).expand(1, 1, 4, 4)
    >>> flow = torch.stack([torch.zeros(4, 4), torch.ones(4, 4)])[None]  # by one voxel along the second axis
    >>> warp(x, affine_map(torch.zeros(1, 6), 2), flow)[0, 0, 0]
    tensor([1., 2., 3., 3.])
    """
    (matrix, shift), shape = affine, x.shape[2:]
    with torch.autocast(x.device.type, enabled=False):
        lines = [torch.arange(side, device=x.device) - (side - 1) / 2 for side in shape]
        places = torch.stack(torch.meshgrid(*lines, indexing="ij"))[None]
        places = places if flow is None else places + flow.float()
        halves = [side / 2 for side in shape]
        # in halves of the image, which is what `grid_sample` counts in; it names the last axis first
        seen = torch.einsum("bij,bj...->bi...", matrix, places.expand(len(matrix), *places.shape[1:]))
        axes = [
            seen[:, axis] / half + shift[:, axis].reshape(-1, *[1] * len(shape)) for axis, half in enumerate(halves)
        ]
        grid = torch.stack(axes[::-1], -1)
        return F.grid_sample(x.float(), grid, padding_mode="border", align_corners=False)


def roughness(flow: Tensor) -> Tensor:
    """Return the mean squared difference of neighbors in a flow (B, D, *spatial), averaged over the axes."""
    with torch.autocast(flow.device.type, enabled=False):
        axes = range(2, flow.ndim)
        return torch.stack([flow.float().diff(dim=axis).square().mean() for axis in axes]).mean()


__all__ = ["affine_map", "roughness", "warp"]
