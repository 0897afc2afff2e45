"""Vision transformer with the heads of DINO and iBOT: cosines of images and of tokens with prototypes.

Caron et al., ICCV 2021, https://arxiv.org/abs/2104.14294; Zhou et al., ICLR 2022, https://arxiv.org/abs/2111.07832.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monai_ssl.networks.vit.encoder import VisionTransformer


class CosineHead(nn.Module):
    """Maps vectors (..., width) to their cosines (..., K) with K prototypes: three linear layers, GELU between them.

    Prototypes have unit length whatever their weights are (weight norm). In float32 behind the layers, whatever
    autocast says.
    """

    def __init__(self, width: int, hidden: int, dim: int, prototypes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, dim)
        )
        self.prototypes = nn.Linear(dim, prototypes, bias=False)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, frozen: bool = False) -> Tensor:
        """Return cosines; ``frozen`` prototypes get no gradient, so that an optimizer leaves them as they are."""
        z = self.layers(x)
        weight = self.prototypes.weight.detach() if frozen else self.prototypes.weight
        with torch.autocast(z.device.type, enabled=False):
            return F.linear(F.normalize(z.float(), dim=-1), F.normalize(weight.float(), dim=1))


class Answers(NamedTuple):
    """What a network says of two views."""

    vectors: Tensor
    """(2B, width), view by view."""
    images: Tensor
    """Cosines (2B, K), view by view."""
    tokens: Tensor
    """Cosines (B, M, K) of the tokens that were asked for."""


class HeadedTransformer(nn.Module):
    """Encoder, a head for images and one for tokens, and the vector that stands in place of hidden tokens."""

    def __init__(self, encoder: VisionTransformer, hidden: int, dim: int, prototypes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.image_head, self.token_head = (CosineHead(encoder.width, hidden, dim, prototypes) for _ in range(2))
        self.mask = nn.Parameter(torch.zeros(encoder.width))

    def forward(self, x: Tensor, hidden: Tensor, asked: Tensor, frozen: bool = False) -> Answers:
        """Return the answers of two views.

        Args:
            x: (2B, C, *spatial), view by view.
            hidden: (B, 2N), whether a token is hidden, after its embedding and before any position is added. It takes
                no part in the vector of its view, which is the average of the others.
            asked: (B, M), numbers among the 2N tokens of a sample.
            frozen: see :class:`CosineHead`.
        """
        tokens, grid = self.encoder.tokens(x)
        gone = hidden.unflatten(1, (2, -1)).transpose(0, 1).flatten(0, 1).unsqueeze(2)
        tokens = self.encoder.transformer(torch.where(gone, self.mask.to(tokens.dtype), tokens), grid)
        seen = (~gone).to(tokens.dtype)
        vectors = (tokens * seen).sum(1) / seen.sum(1)
        of_sample = tokens.unflatten(0, (2, -1)).transpose(0, 1).flatten(1, 2)
        parts = of_sample.gather(1, asked.unsqueeze(2).expand(-1, -1, tokens.shape[2]))
        return Answers(vectors, self.image_head(vectors, frozen), self.token_head(parts, frozen))


__all__ = ["Answers", "CosineHead", "HeadedTransformer"]
