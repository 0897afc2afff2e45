"""An image classifier on any encoder of this package."""

from __future__ import annotations

from torch import Tensor, nn

from monai_ssl.networks.encoder import Encoder


class EncoderClassifier(nn.Module):
    """Encoder, global average, dropout, one linear layer (PCRLv2 Sec. 4.2).

    Args:
        encoder: with ``channels`` and ``spatial_dims``; its last map is used.
        out_channels: classes; the output are logits (B, out_channels).
        dropout: probability before the linear layer.
    """

    def __init__(self, encoder: Encoder, out_channels: int, dropout: float = 0.2) -> None:
        super().__init__()
        self.encoder = encoder
        self.spatial_dims = encoder.spatial_dims
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(encoder.channels[-1], out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.dropout(self.encoder(x)[-1].flatten(2).mean(2)))
