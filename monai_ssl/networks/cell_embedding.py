"""Shared-weight (siamese) encoder of the cubes of a puzzle: one vector for each cube.

Zhang, Gu, "Dive into Self-Supervised Learning for Medical Image Analysis: Data, Models and Tasks", Knowledge-Based
Systems 2023, https://arxiv.org/abs/2209.12157, Sec. 3 and appendix.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from monai_ssl.networks.encoder import Encoder


class CellEmbedding(nn.Module):
    """Pooled features of a cube, a linear layer, batch norm, ReLU.

    Args:
        encoder: shared by all cubes.
        dim: of the vector.
        pooling: of the coarsest map: ``"average"`` as in the paper, or ``"max"``, as the study's code does for
            relative location.
        order: ``"norm_relu"`` as in the paper, or ``"relu_norm"`` as in the code.

    Shapes:
        (B, in_channels, *cube) -> (B, dim).
    """

    def __init__(
        self,
        encoder: Encoder,
        dim: int = 64,
        pooling: Literal["average", "max"] = "average",
        order: Literal["norm_relu", "relu_norm"] = "norm_relu",
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = pooling
        linear, norm = nn.Linear(encoder.channels[-1], dim), nn.BatchNorm1d(dim)
        last = (norm, nn.ReLU()) if order == "norm_relu" else (nn.ReLU(), norm)
        self.layers = nn.Sequential(linear, *last)

    def forward(self, x: Tensor) -> Tensor:
        coarsest: Tensor = self.encoder(x)[-1].flatten(2)
        pooled = coarsest.amax(2) if self.pooling == "max" else coarsest.mean(2)
        vectors: Tensor = self.layers(pooled)
        return vectors


__all__ = ["CellEmbedding"]
