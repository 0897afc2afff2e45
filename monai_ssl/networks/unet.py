"""U-Nets on any encoder: one for fine-tuning (segmentation), one for image restoration in pre-training."""

from __future__ import annotations

from collections.abc import Sequence

from monai.networks.layers import Conv
from torch import Tensor, nn

from monai_ssl.networks.blocks import Norm
from monai_ssl.networks.decoder import decoder_of
from monai_ssl.networks.encoder import Encoder
from monai_ssl.networks.heads import init_heads


class SkipUNet(nn.Module):
    """A U-Net with skip connections on any encoder of this package (PCRLv2 Sec. 3.4 and the authors' advice).

    Args:
        encoder: with ``channels``, ``strides`` and ``spatial_dims``.
        out_channels: classes, background included.
        norm: normalization of the decoder.
        skips: ``False`` leaves the skip connections out, so that a decoder that was pre-trained without them fits.

    Shapes:
        (B, C, *spatial) -> logits (B, out_channels, *spatial).
    """

    def __init__(self, encoder: Encoder, out_channels: int, norm: Norm = "batch", *, skips: bool = True) -> None:
        super().__init__()
        self.encoder = encoder
        self.spatial_dims = encoder.spatial_dims
        self.decoder = decoder_of(encoder, skips=skips, norm=norm)
        self.head = Conv["conv", encoder.spatial_dims](self.decoder.channels[-1], out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.decoder(self.encoder(x))[-1])


class RestorationUNet(nn.Module):
    """A U-Net that restores images: encoder, decoder with or without skip connections, one convolution, sigmoid.

    With skips it is the 3-D U-Net of Models Genesis (19,073,665 parameters) and, on a ResNet-50 in 2-D, the U-Net of
    DiRA and TOWER (32,521,105 with one output channel, 32,521,395 with three).

    Args:
        encoder: with ``channels``, ``strides`` and ``spatial_dims``.
        out_channels: of the restored image; ``None`` for those of the encoder's input.
        skips: give the decoder the encoder's finer maps.
        bounded: end in a sigmoid, for targets in [0, 1].
        norm: normalization of the decoder.

    Shapes:
        (B, C, *spatial) -> (B, out_channels, *spatial).

    >>> import torch
    >>> from monai_ssl.networks import ConvEncoder
    >>> network = RestorationUNet(ConvEncoder(3, widths=(4, 8, 16)))
    >>> restored = network(torch.rand(1, 1, 16, 16, 8))
    >>> restored.shape, bool(((restored > 0) & (restored < 1)).all())  # a sigmoid bounds it
    (torch.Size([1, 1, 16, 16, 8]), True)
    """

    def __init__(
        self,
        encoder: Encoder,
        out_channels: int | None = None,
        *,
        skips: bool = True,
        bounded: bool = True,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.spatial_dims, self.skips = encoder.spatial_dims, skips
        self.decoder = decoder_of(encoder, skips=skips, norm=norm)
        kernel = 3 if encoder.spatial_dims == 2 else 1
        channels = encoder.in_channels if out_channels is None else out_channels
        conv = Conv["conv", encoder.spatial_dims](self.decoder.channels[-1], channels, kernel, padding=kernel // 2)
        self.head = nn.Sequential(conv, *([nn.Sigmoid()] if bounded else []))

    def restore(self, features: Sequence[Tensor]) -> Tensor:
        """Return the image (B, out_channels, *spatial) of the encoder's maps."""
        return self.head(self.decoder(features)[-1])

    def forward(self, x: Tensor) -> Tensor:
        return self.restore(self.encoder(x))

    def init_as_published(self) -> None:
        """Draw decoder and head anew as the 2-D code of DiRA and TOWER does: Kaiming and Xavier, uniform, no biases."""
        init_heads(self.decoder)
        weight, bias = self.head[0].parameters()
        nn.init.xavier_uniform_(weight)
        nn.init.zeros_(bias)
