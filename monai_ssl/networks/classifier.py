"""An image classifier on any encoder of this package."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_ssl.networks.encoder import Encoder


class EncoderClassifier(nn.Module):
    """Encoder, global average, dropout, one linear layer (PCRLv2 Sec. 4.2).

    Args:
        encoder: its vector of an image is used, mostly the average of its last map.
        out_channels: classes; the output are logits (B, out_channels).
        dropout: probability before the linear layer.
        parts: pictures beside each other along the first axis of an image; each goes through the encoder by itself, and
            the linear layer sees the vectors of all in that order.

    >>> import torch
    >>> from monai_ssl.networks import ConvEncoder
    >>> network = EncoderClassifier(ConvEncoder(2, widths=(4, 8)), 3, parts=2).eval()
    >>> pair = torch.rand(5, 1, 16, 8)
    >>> torch.allclose(network.vectors(pair)[:, 8:], network.encoder.pooled(pair[:, :, 8:]), atol=1e-6)
    True
    """

    def __init__(self, encoder: Encoder, out_channels: int, dropout: float = 0.2, parts: int = 1) -> None:
        super().__init__()
        self.encoder = encoder
        self.spatial_dims = encoder.spatial_dims
        self.dropout = nn.Dropout(dropout)
        self.parts = parts
        self.head = nn.Linear(parts * encoder.width, out_channels)

    def vectors(self, x: Tensor) -> Tensor:
        """Return what the linear layer sees, (B, parts * width), of images (B, C, *spatial)."""
        found = self.encoder.pooled(torch.cat(x.chunk(self.parts, dim=2)))
        return torch.cat(found.chunk(self.parts), dim=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.dropout(self.vectors(x)))
