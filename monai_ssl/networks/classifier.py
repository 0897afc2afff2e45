"""An image classifier on any encoder of this package."""

from __future__ import annotations

from torch import Tensor, nn

from monai_ssl.networks.encoder import Encoder


class EncoderClassifier(nn.Module):
    """Encoder, global average, dropout, one linear layer (PCRLv2 Sec. 4.2).

    Args:
        encoder: its vector of an image is used, mostly the average of its last map.
        out_channels: classes; the output are logits (B, out_channels).
        dropout: probability before the linear layer.
    """

    def __init__(self, encoder: Encoder, out_channels: int, dropout: float = 0.2) -> None:
        super().__init__()
        self.encoder = encoder
        self.spatial_dims = encoder.spatial_dims
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(encoder.width, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.dropout(self.encoder.pooled(x)))
