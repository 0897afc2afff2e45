"""Encoder, global average pooling and projector in one: what contrastive methods compare."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from monai_ssl.networks.encoder import Encoder


class ProjectedEncoder(nn.Module):
    """Maps images (B, C, *spatial) to vectors (B, D): encoder, its vector of an image, projector.

    Args:
        encoder: what is pre-trained.
        projector: maps (B, encoder.width) to (B, D).
    """

    def __init__(self, encoder: Encoder, projector: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = projector

    def forward(self, x: Tensor) -> Tensor:
        vectors: Tensor = self.projector(self.encoder.pooled(x))
        return vectors

    def project(self, features: Sequence[Tensor]) -> Tensor:
        """Return the vectors (B, D) of feature maps that the encoder gave before."""
        vectors: Tensor = self.projector(self.encoder.pool(features))
        return vectors
