"""nsUNet, the non-skip U-Net of PCRLv2 (Zhou et al., TPAMI 2023, Sec. 3.1)."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from monai_ssl.networks.blocks import Norm
from monai_ssl.networks.decoder import decoder_of
from monai_ssl.networks.encoder import Encoder


class PyramidUNet(nn.Module):
    """An encoder and a decoder whose levels form a feature pyramid.

    Without skip connections every level is a function of the coarsest map alone, so the encoder has to keep pixels,
    meaning and scales at once; ``skips=True`` is the ablation of the paper's table 1.

    Args:
        encoder: with ``channels``, ``strides`` and ``spatial_dims``.
        skips: give the decoder the encoder's finer maps.
        norm: normalization of the decoder.

    Shapes:
        (B, C, *spatial) -> maps (B, channels[i], *(spatial / 2**(levels - 1 - i))), coarse to fine.

    >>> import torch
    >>> from monai_ssl.networks import ConvEncoder
    >>> network = PyramidUNet(ConvEncoder(2, widths=(4, 8, 16)))
    >>> [tuple(x.shape) for x in network(torch.rand(1, 1, 16, 16))]
    [(1, 8, 8, 8), (1, 4, 16, 16)]
    """

    def __init__(self, encoder: Encoder, skips: bool = False, norm: Norm = "batch") -> None:
        super().__init__()
        self.encoder = encoder
        self.spatial_dims = encoder.spatial_dims
        self.decoder = decoder_of(encoder, skips=skips, norm=norm)
        self.channels = self.decoder.channels

    def levels(self, x: Tensor) -> Iterator[Tensor]:
        """Yield the pyramid of ``x`` coarse to fine; a level that is not asked for is not computed."""
        return self.decoder.levels(self.encoder(x))

    def forward(self, x: Tensor) -> list[Tensor]:
        return list(self.levels(x))
