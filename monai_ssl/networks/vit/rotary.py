"""Rotary position embedding (RoPE) along two or three axes (Su et al., 2021, https://arxiv.org/abs/2104.09864)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_BASE = 10_000.0


def rotary_angles(grid: Sequence[int], head_width: int, device: torch.device | None = None) -> Tensor:
    """Return the angles (tokens, head_width / 2) by which pairs of channels of a token are turned, in radians.

    Each axis has an equal share of the pairs, first axis first, and in it frequencies from 1 down to 1 / 10,000. Angles
    grow with the number of a token, not with its share of the window: what is as many voxels apart is turned alike in
    windows of any size.

    Args:
        grid: tokens along each axis.
        head_width: channels of an attention head, divisible by twice the number of axes.
        device: of the result.

    >>> rotary_angles((2, 3), head_width=4)  # two axes, one frequency each
    tensor([[0., 0.],
            [0., 1.],
            [0., 2.],
            [1., 0.],
            [1., 1.],
            [1., 2.]])
    """
    count = head_width // (2 * len(grid))
    frequencies = _BASE ** -(torch.arange(count, device=device) / count)
    places = torch.meshgrid(*(torch.arange(side, device=device) for side in grid), indexing="ij")
    return (torch.stack(places, -1).flatten(0, -2)[..., None] * frequencies).flatten(1)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the pairs of channels (0, 1), (2, 3), ... of ``x`` (B, heads, tokens, head_width), in float32.

    Args:
        x: queries or keys.
        cos: of the angles, (B or 1, 1, tokens, head_width / 2).
        sin: of the angles, likewise.
    """
    a, b = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([a * cos - b * sin, b * cos + a * sin], -1).flatten(-2).to(x.dtype)


__all__ = ["rotary_angles", "rotate"]
