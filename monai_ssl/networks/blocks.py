"""DoubleConv: two times convolution, normalization, ReLU; batch, instance or group norm."""

from __future__ import annotations

from typing import Any

import torch
from monai.networks.layers import Conv
from monai.networks.layers.utils import get_norm_layer
from torch import Tensor, nn

Norm = str | tuple[str, dict[str, Any]]
"""As MONAI names it: ``"batch"``, ``"instance"`` or ``("group", {"num_groups": 8})``."""


class DoubleConv(nn.Module):
    """Two times convolution 3 (stride 1, same size), normalization, ReLU.

    Args:
        spatial_dims: 2 or 3.
        in_channels: of the input (B, in_channels, *spatial).
        mid_channels: after the first convolution.
        out_channels: after the second; the output is (B, out_channels, *spatial).
        norm: normalization, see :data:`Norm`.
        bias: whether the convolutions have a bias.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        mid_channels: int,
        out_channels: int,
        *,
        norm: Norm = "batch",
        bias: bool = True,
    ) -> None:
        super().__init__()
        conv = Conv["conv", spatial_dims]
        self.conv1 = conv(in_channels, mid_channels, 3, padding=1, bias=bias)
        self.norm1 = get_norm_layer(norm, spatial_dims, mid_channels)
        self.conv2 = conv(mid_channels, out_channels, 3, padding=1, bias=bias)
        self.norm2 = get_norm_layer(norm, spatial_dims, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(x)))
