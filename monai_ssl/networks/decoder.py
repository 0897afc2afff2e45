"""U-Net decoder, with or without skip connections."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from monai.networks.layers import Conv
from torch import Tensor, nn

from monai_ssl.networks.blocks import DoubleConv, Norm
from monai_ssl.networks.encoder import Encoder


class UpBlock(nn.Module):
    """Double the resolution, join the skip connection if there is one, then two convolutions.

    Args:
        spatial_dims: 2 or 3.
        in_channels: of the coarse map.
        skip_channels: of the encoder map to concatenate; 0 for none.
        out_channels: after the convolutions.
        learned: transposed convolution that keeps the channels, and biased convolutions (the papers' 3-D decoder);
            else nearest neighbor and bias-free convolutions (their 2-D decoder).
        norm: normalization.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        skip_channels: int,
        out_channels: int,
        *,
        learned: bool = True,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        self.up = Conv["convtrans", spatial_dims](in_channels, in_channels, 2, stride=2) if learned else None
        self.convs = DoubleConv(
            spatial_dims, in_channels + skip_channels, out_channels, out_channels, norm=norm, bias=learned
        )

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        x = F.interpolate(x, scale_factor=2, mode="nearest") if self.up is None else self.up(x)
        return self.convs(x if skip is None else torch.cat([x, skip], dim=1))


class UNetDecoder(nn.Module):
    """One :class:`UpBlock` a level until full resolution; each level has half the channels of the one before.

    Args:
        spatial_dims: 2 or 3.
        channels: of the encoder's maps, fine to coarse.
        strides: of these maps, e.g. (1, 2, 4, 8).
        skips: concatenate the encoder's map of the same resolution, where there is one.
        learned: see :class:`UpBlock`.
        norm: normalization.
        expansion: the first level has ``channels[-1] / (2 * expansion)`` channels.
    """

    def __init__(
        self,
        spatial_dims: int,
        channels: Sequence[int],
        strides: Sequence[int],
        *,
        skips: bool,
        learned: bool = True,
        norm: Norm = "batch",
        expansion: int = 1,
    ) -> None:
        super().__init__()
        levels = strides[-1].bit_length() - 1
        self.channels = tuple(max(1, channels[-1] // expansion >> (level + 1)) for level in range(levels))
        skip_of_stride = dict(zip(strides[:-1], range(len(strides) - 1), strict=True)) if skips else {}
        self.skips = [skip_of_stride.get(strides[-1] >> (level + 1)) for level in range(levels)]
        inputs = (channels[-1], *self.channels[:-1])
        self.blocks = nn.ModuleList(
            UpBlock(spatial_dims, i, 0 if s is None else channels[s], o, learned=learned, norm=norm)
            for i, s, o in zip(inputs, self.skips, self.channels, strict=True)
        )

    def levels(self, features: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield the maps of the levels, coarse to fine; a level that is not asked for is not computed."""
        x = features[-1]
        for block, skip in zip(self.blocks, self.skips, strict=True):
            x = block(x, None if skip is None else features[skip])
            yield x

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        return list(self.levels(features))


def decoder_of(encoder: Encoder, *, skips: bool, norm: Norm = "batch") -> Any:
    """Return the encoder's own decoder, else the papers', which learns up-sampling in 3-D and repeats pixels in 2-D."""
    own = encoder.unet_decoder(skips=skips)
    if own is not None:
        return own
    dims = encoder.spatial_dims
    return UNetDecoder(
        dims,
        encoder.channels,
        encoder.strides,
        skips=skips,
        learned=dims == 3,
        norm=norm,
        expansion=encoder.expansion,
    )
