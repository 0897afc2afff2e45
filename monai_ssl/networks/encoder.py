"""Encoder, the contract of all backbones: list of feature maps, channels, strides; global average pooling."""

from __future__ import annotations

from torch import Tensor, nn


class Encoder(nn.Module):
    """Maps images (B, in_channels, *spatial) to a list of feature maps, fine to coarse.

    Attributes:
        spatial_dims: 2 or 3.
        in_channels: of the image.
        channels: of each map.
        strides: of each map relative to the image, powers of 2.
        expansion: how many times wider the coarsest map is than the convolutions that decode it expect, 4 for
            bottleneck blocks.
        blocks: classes of the modules whose insides activation checkpointing computes again.
    """

    spatial_dims: int
    in_channels: int
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    expansion: int = 1
    blocks: tuple[type[nn.Module], ...] = ()

    def pooled(self, x: Tensor) -> Tensor:
        """Return the average (B, channels[-1]) of the coarsest map of images ``x`` (B, in_channels, *spatial)."""
        return average(self(x)[-1])


def average(x: Tensor) -> Tensor:
    """Return the average (B, C) of a map (B, C, *spatial) over its positions: global average pooling."""
    return x.flatten(2).mean(2)
