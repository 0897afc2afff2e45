"""What decoders, heads and transfer need to know of an encoder."""

from __future__ import annotations

from torch import nn


class Encoder(nn.Module):
    """Maps images (B, in_channels, *spatial) to a list of feature maps, fine to coarse.

    Attributes:
        spatial_dims: 2 or 3.
        in_channels: of the image.
        channels: of each map.
        strides: of each map relative to the image, powers of 2.
    """

    spatial_dims: int
    in_channels: int
    channels: tuple[int, ...]
    strides: tuple[int, ...]
