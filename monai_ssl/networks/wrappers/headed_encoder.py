"""An encoder that takes the first layer of its projector along (SimCLR v2: Chen et al., NeurIPS 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from monai_ssl.networks.encoder import Encoder, average
from monai_ssl.networks.recipe import build, recipe_of


class HeadedEncoder(Encoder):
    """The maps of another encoder, and as vector of an image ReLU(BN(linear(average))).

    What is exported, and all that reads vectors (classification, probes, inference), then has that layer; a
    segmentation uses the maps, which are those of the encoder inside.

    Args:
        encoder: whose maps are given.
        dim: of the vector; ``None`` keeps the width of the encoder.
        in_channels: of the image; ``None`` for those of ``encoder``, which is built anew for another number.

    >>> import torch
    >>> from monai_ssl.networks import ConvEncoder
    >>> headed = HeadedEncoder(ConvEncoder(2, widths=(4, 8)), dim=6)
    >>> headed.pooled(torch.rand(2, 1, 8, 8)).shape, headed.channels
    (torch.Size([2, 6]), (4, 8))
    """

    def __init__(self, encoder: Encoder, dim: int | None = None, in_channels: int | None = None) -> None:
        super().__init__()
        self.encoder = with_channels_of(encoder, in_channels)
        self.spatial_dims, self.in_channels = self.encoder.spatial_dims, self.encoder.in_channels
        self.channels, self.strides = self.encoder.channels, self.encoder.strides
        self.expansion, self.blocks = self.encoder.expansion, self.encoder.blocks
        width = self.encoder.channels[-1]
        self.dim = width if dim is None else dim
        self.layer = nn.Sequential(nn.Linear(width, self.dim, bias=False), nn.BatchNorm1d(self.dim), nn.ReLU())

    @property
    def width(self) -> int:
        return self.dim

    def forward(self, x: Tensor) -> list[Tensor]:
        maps: list[Tensor] = self.encoder(x)
        return maps

    def pool(self, features: Sequence[Tensor]) -> Tensor:
        vector: Tensor = self.layer(average(features[-1]))
        return vector


def with_channels_of(encoder: Encoder, in_channels: int | None) -> Encoder:
    """Return the encoder, or one built as it was for another number of channels.

    Raises:
        ValueError: when it must be built anew, and how it was built is not known.
    """
    if in_channels is None or in_channels == encoder.in_channels:
        return encoder
    return cast(Encoder, build(recipe_of(encoder), in_channels=in_channels))
