"""The networks that are fine-tuned: a pre-trained encoder under a fresh decoder or classifier."""

from __future__ import annotations

from monai.networks.layers import Conv
from torch import Tensor, nn

from monai_ssl.networks.blocks import Norm
from monai_ssl.networks.decoder import decoder_of
from monai_ssl.networks.encoder import Encoder


class SkipUNet(nn.Module):
    """A U-Net with skip connections on any encoder of this package (PCRLv2 Sec. 3.4 and the authors' advice).

    Args:
        encoder: with ``channels``, ``strides`` and ``spatial_dims``.
        out_channels: classes, background included.
        norm: normalization of the decoder.

    Shapes:
        (B, C, *spatial) -> logits (B, out_channels, *spatial).
    """

    def __init__(self, encoder: Encoder, out_channels: int, norm: Norm = "batch") -> None:
        super().__init__()
        self.encoder = encoder
        self.spatial_dims = encoder.spatial_dims
        self.decoder = decoder_of(encoder, skips=True, norm=norm)
        self.head = Conv["conv", encoder.spatial_dims](self.decoder.channels[-1], out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.decoder(self.encoder(x))[-1])
