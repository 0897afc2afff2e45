"""Registration heads: an affine map, and a dense flow, between the feature maps of two images.

As in He et al., "Geometric Visual Similarity Learning in 3D Medical Image Self-supervised Pre-training", CVPR 2023,
https://arxiv.org/abs/2303.00874.
"""

from __future__ import annotations

import torch
from monai.networks.layers import Conv
from torch import Tensor, nn

from monai_ssl.networks.encoder import average

_TINY = 1e-5


class AffineHead(nn.Module):
    """Maps the coarsest maps of two images, (B, C, *spatial) each, to numbers for :func:`affine_map`, near 0 at first.

    Args:
        spatial_dims: 2 or 3.
        channels: C.
    """

    def __init__(self, spatial_dims: int, channels: int) -> None:
        super().__init__()
        conv = Conv["conv", spatial_dims]
        self.layers = nn.Sequential(
            conv(2 * channels, channels, 3, padding=1), nn.ReLU(), conv(channels, channels, 3, padding=1), nn.ReLU()
        )
        self.answer = _near_zero(nn.Linear(channels, spatial_dims * (spatial_dims + 1)))

    def forward(self, fixed: Tensor, moving: Tensor) -> Tensor:
        """Return (B, D (D + 1))."""
        numbers: Tensor = self.answer(average(self.layers(torch.cat([fixed, moving], 1))))
        return numbers


class FlowHead(nn.Module):
    """Maps the finest maps of two images, (B, C, *spatial) each, to a flow (B, D, *spatial) in voxels, near 0 at first.

    Args:
        spatial_dims: D, 2 or 3.
        channels: C.
    """

    def __init__(self, spatial_dims: int, channels: int) -> None:
        super().__init__()
        conv = Conv["conv", spatial_dims]
        self.layers = nn.Sequential(conv(2 * channels, channels, 3, padding=1), nn.LeakyReLU(0.2))
        self.answer = _near_zero(conv(channels, spatial_dims, 3, padding=1))

    def forward(self, fixed: Tensor, moving: Tensor) -> Tensor:
        flow: Tensor = self.answer(self.layers(torch.cat([fixed, moving], 1)))
        return flow


def _near_zero(layer: nn.Linear | nn.Conv2d | nn.Conv3d) -> nn.Module:
    nn.init.normal_(layer.weight, std=_TINY)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


__all__ = ["AffineHead", "FlowHead"]
