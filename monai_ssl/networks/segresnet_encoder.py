"""Encoder of MONAI's SegResNet (Myronenko, BrainLes 2018, https://arxiv.org/abs/1810.11654)."""

from __future__ import annotations

from monai.networks.blocks.segresnet_block import ResBlock
from monai.networks.nets import SegResNet
from torch import Tensor

from monai_ssl.networks.encoder import Encoder


class SegResNetEncoder(Encoder):
    """MONAI's SegResNet without its decoder.

    Args:
        spatial_dims: 2 or 3.
        in_channels: of the image.
        init_filters: channels of the finest map, a multiple of 8; each stage doubles them.

    Shapes:
        (B, in_channels, *spatial) -> four maps at strides 1, 2, 4, 8, fine to coarse.
    """

    strides = (1, 2, 4, 8)
    blocks = (ResBlock,)

    def __init__(self, spatial_dims: int = 3, in_channels: int = 1, init_filters: int = 8) -> None:
        super().__init__()
        self.spatial_dims, self.in_channels = spatial_dims, in_channels
        self.channels = tuple(init_filters * 2**level for level in range(4))
        self.net = SegResNet(spatial_dims, init_filters, in_channels)
        del self.net.up_layers, self.net.up_samples, self.net.conv_final

    def forward(self, x: Tensor) -> list[Tensor]:
        return list(self.net.encode(x)[1])
