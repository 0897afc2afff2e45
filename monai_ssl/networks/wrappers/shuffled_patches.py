"""One vector for the patches of an image in random order (PIRL: Misra and van der Maaten, CVPR 2020)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ShuffledPatches(nn.Module):
    """A linear layer for each patch, the results in random order side by side, a linear layer for all.

    The order is drawn for each image, uniformly among all orders.

    Args:
        width: of the vector of a patch.
        patches: n, of an image.
        dim: of the result, and of what stands for a patch.

    Shapes:
        (B * n, width), sample-major -> (B, dim).
    """

    def __init__(self, width: int, patches: int, dim: int) -> None:
        super().__init__()
        self.patches = patches
        self.each = nn.Linear(width, dim)
        self.joint = nn.Linear(patches * dim, dim)

    def forward(self, vectors: Tensor) -> Tensor:
        each: Tensor = self.each(vectors).unflatten(0, (-1, self.patches))
        order = torch.rand(each.shape[:2], device=each.device).argsort(1)
        shuffled = each.gather(1, order[..., None].expand_as(each))
        joint: Tensor = self.joint(shuffled.flatten(1))
        return joint
