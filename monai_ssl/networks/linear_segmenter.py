"""Linear segmentation of frozen features: each voxel is classified from all feature maps by one linear layer."""

from __future__ import annotations

import torch.nn.functional as F
from monai.networks.layers import Conv
from torch import Tensor, nn

from monai_ssl.networks.encoder import Encoder


class LinearSegmenter(nn.Module):
    """All maps of an encoder, interpolated to the size of the image, and one linear layer for each voxel.

    What segmentation can be read from features without a decoder; the linear evaluation of dense features, as in
    Oquab et al., "DINOv2", 2023, https://arxiv.org/abs/2304.07193.

    Args:
        encoder: with ``channels`` and ``spatial_dims``.
        out_channels: classes, background included; the output are logits (B, out_channels, *spatial).

    >>> import torch
    >>> from monai_ssl.networks import ConvEncoder
    >>> LinearSegmenter(ConvEncoder(2, widths=(4, 8)), 3)(torch.rand(1, 1, 16, 16)).shape
    torch.Size([1, 3, 16, 16])
    """

    def __init__(self, encoder: Encoder, out_channels: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.spatial_dims = encoder.spatial_dims
        self.head = Conv["conv", self.spatial_dims](sum(encoder.channels), out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        mode = "bilinear" if self.spatial_dims == 2 else "trilinear"
        convolve = F.conv2d if self.spatial_dims == 2 else F.conv3d
        # linear maps commute with interpolation: a few logits are enlarged and not hundreds of features
        parts = self.head.weight.split(list(self.encoder.channels), 1)
        maps = (convolve(f, part) for f, part in zip(self.encoder(x), parts, strict=True))
        logits = sum(F.interpolate(f, x.shape[2:], mode=mode, align_corners=False) for f in maps)
        return logits + self.head.bias.view(-1, *[1] * self.spatial_dims)


__all__ = ["LinearSegmenter"]
