"""Blocks of nnU-Net's residual U-Net: convolution with instance norm, residual block (ResNet-D), decoder.

He et al., "Bag of Tricks for Image Classification with Convolutional Neural Networks", CVPR 2019 (ResNet-D).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from monai.networks.layers import Conv, Pool
from monai.networks.layers.utils import get_norm_layer
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

SLOPE = 0.01
"""Of all leaky rectifiers."""


class ConvNorm(nn.Module):
    """Convolution (same size at stride 1), then instance norm with scale and shift.

    Args:
        spatial_dims: 2 or 3.
        in_channels: of the input (B, in_channels, *spatial).
        out_channels: of the output.
        kernel: side of the kernel, odd.
        stride: of the convolution.
    """

    def __init__(
        self, spatial_dims: int, in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1
    ) -> None:
        super().__init__()
        # the 1 x 1 convolution of a shortcut has no bias
        self.conv = Conv["conv", spatial_dims](
            in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, bias=kernel > 1
        )
        self.norm = get_norm_layer(("instance", {"affine": True}), spatial_dims, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


class ResidualBlock(nn.Module):
    """Two convolutions and a shortcut: average pooling where the stride is not 1, a 1 x 1 convolution to new channels.

    Args:
        spatial_dims: 2 or 3.
        in_channels: of the input (B, in_channels, *spatial).
        out_channels: of the output (B, out_channels, *(spatial / stride)).
        stride: 1 or 2.
    """

    def __init__(self, spatial_dims: int, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(spatial_dims, in_channels, out_channels, stride=stride)
        self.conv2 = ConvNorm(spatial_dims, out_channels, out_channels)
        self.pool = Pool["avg", spatial_dims](stride, stride) if stride > 1 else nn.Identity()
        changes = in_channels != out_channels
        self.skip = ConvNorm(spatial_dims, in_channels, out_channels, 1) if changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        residual = self.conv2(leaky_relu(self.conv1(x), SLOPE))
        return leaky_relu(residual + self.skip(self.pool(x)), SLOPE)


class UpStage(nn.Module):
    """Transposed convolution by the stride, concatenated skip connection, one convolution.

    Args:
        spatial_dims: 2 or 3.
        in_channels: of the coarse map (B, in_channels, *spatial).
        out_channels: of the output (B, out_channels, *(2 * spatial)), and of the encoder's map at that resolution.
        skips: concatenate the encoder's map.
    """

    def __init__(self, spatial_dims: int, in_channels: int, out_channels: int, *, skips: bool) -> None:
        super().__init__()
        self.up = Conv["convtrans", spatial_dims](in_channels, out_channels, 2, stride=2)
        self.conv = ConvNorm(spatial_dims, 2 * out_channels if skips else out_channels, out_channels)

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        x = self.up(x)
        return leaky_relu(self.conv(x if skip is None else torch.cat([x, skip], dim=1)), SLOPE)


class ResidualDecoder(nn.Module):
    """nnU-Net's decoder: one :class:`UpStage` a level, as wide as the encoder at that resolution.

    Args:
        spatial_dims: 2 or 3.
        widths: channels of the encoder's maps, fine to coarse.
        skips: concatenate the encoder's maps.
    """

    def __init__(self, spatial_dims: int, widths: Sequence[int], *, skips: bool) -> None:
        super().__init__()
        self.skips = skips
        self.channels = tuple(widths[-2::-1])
        inputs = tuple(widths[:0:-1])
        self.stages = nn.ModuleList(
            UpStage(spatial_dims, i, o, skips=skips) for i, o in zip(inputs, self.channels, strict=True)
        )
        init_residual(self)

    def levels(self, features: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield the maps of the levels, coarse to fine; a level that is not asked for is not computed."""
        x, *finer = reversed(features)
        for stage, skip in zip(self.stages, finer, strict=True):
            x = stage(x, skip if self.skips else None)
            yield x

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        return list(self.levels(features))


def init_residual(network: nn.Module) -> None:
    """Initialize as nnU-Net does: He's normal weights, biases 0, and every residual block begins as its shortcut."""
    for module in network.modules():
        if isinstance(module, (nn.modules.conv._ConvNd)):
            nn.init.kaiming_normal_(module.weight, a=SLOPE)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in network.modules():
        if isinstance(module, ResidualBlock):
            nn.init.zeros_(module.conv2.norm.weight)
