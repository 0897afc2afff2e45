"""Rubik's cube: classify the permutation of cubes and the half turn of each.

Zhuang, Li, Hu, Ma, Yang, Zheng, "Self-supervised Feature Learning for 3D Medical Images by Playing a Rubik's Cube",
MICCAI 2019, https://arxiv.org/abs/1910.02241; heads and schedule of Zhang, Gu, "Dive into Self-Supervised Learning for
Medical Image Analysis: Data, Models and Tasks", Knowledge-Based Systems 2023, https://arxiv.org/abs/2209.12157.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monai_ssl.arguments import check_choice, check_weights
from monai_ssl.methods.base import Method
from monai_ssl.methods.jigsaw import Jigsaw, side_by_side
from monai_ssl.networks import Encoder, projector
from monai_ssl.transforms import HALF_TURNS, half_turn, restore_cells


class Rubik(Method):
    r"""Name the permutation of the cubes of a grid, and the half turns of the cube in each slot.

    :math:`L = \alpha L_{order} + \beta (L_{hor} + L_{ver})`: the cross entropy of a jigsaw and, for each kind of half
    turn, the binary cross entropy, averaged over slots. In 2-D there is one kind. The order has a head of three linear
    layers, each kind of turn one of two; with three, turns are not learned (appendix of the study).

    Args:
        encoder: to pre-train.
        permutations: the table (K, N) that the views draw from.
        preset: ``"paper"``; or ``"reference"``, what the study's code computes: ReLU before batch norm, and batch
            norm of the cubes in each slot alone.
        weights: :math:`\alpha` and :math:`\beta`; the paper does not give them, the study's code has these.
        dim: of the vector of a cube.
        hidden: width of the hidden layers of all heads.

    Batch:

    ========= ==================== ==========================================================
    key       shape                content
    ========= ==================== ==========================================================
    ``cells`` (B * N, C, \*cube)   the shuffled and turned cubes, sample-major
    ``label`` (B,)                 row of the table
    ``turns`` (B, N, T)            bits of each slot, see ``transforms/rubik.py``
    ========= ==================== ==========================================================

    Raises:
        ValueError: for an unknown preset, weights that are not two numbers of at least 0, or when weights of another
            table are loaded.

    >>> from monai_ssl.networks import ConvEncoder
    >>> from monai_ssl.transforms import permutation_table
    >>> method = Rubik(ConvEncoder(3, widths=(4, 8)), permutation_table(8, count=10), dim=8, hidden=16)
    >>> cells = torch.rand(2 * 8, 1, 8, 8, 8)
    >>> batch = {"cells": cells, "label": torch.tensor([0, 9]), "turns": torch.zeros(2, 8, 2)}
    >>> sorted(method.losses(batch))
    ['order', 'turns']
    """

    def __init__(
        self,
        encoder: Encoder,
        permutations: Tensor,
        preset: Literal["paper", "reference"] = "paper",
        *,
        weights: Sequence[float] = (0.5, 0.5),
        dim: int = 64,
        hidden: int = 1024,
    ) -> None:
        super().__init__()
        check_choice(("paper", "reference"), preset=preset)
        cells = permutations.shape[1]
        self.weights = check_weights(weights, ("order", "turns"))
        self.jigsaw = Jigsaw(encoder, permutations, preset, dim=dim, hidden=hidden)
        self.turn_heads = nn.ModuleDict(
            {name: projector([cells * dim, hidden, cells]) for name in HALF_TURNS[encoder.spatial_dims]}
        )

    @property
    def encoder(self) -> Encoder:
        return self.jigsaw.encoder

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return self.losses_of(self.jigsaw.vectors(batch["cells"]), batch)

    def losses_of(self, vectors: Tensor, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the terms for the vectors (B, N * dim) of the cubes."""
        alpha, beta = self.weights
        order = F.cross_entropy(self.jigsaw.classifier(vectors).float(), batch["label"])
        logits = self.turn_logits(vectors).float()
        # the sum over kinds of the mean over samples and slots
        turns = F.binary_cross_entropy_with_logits(logits, batch["turns"].float()) * len(self.turn_heads)
        return {"order": alpha * order, "turns": beta * turns}

    def turn_logits(self, vectors: Tensor) -> Tensor:
        """Return the logits (B, N, T) of the half turns of each slot, given the vectors (B, N * dim) of the cubes."""
        return torch.stack([head(vectors) for head in self.turn_heads.values()], dim=-1)

    def metrics(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return self.metrics_of(self.jigsaw.vectors(batch["cells"]), batch)

    def metrics_of(self, vectors: Tensor, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the accuracy of each sub-task for the vectors (B, N * dim) of the cubes."""
        order = self.jigsaw.classifier(vectors).argmax(1) == batch["label"]
        turns = (self.turn_logits(vectors) > 0) == batch["turns"].bool()
        by_kind = zip(self.turn_heads, turns.unbind(-1), strict=True)
        return {
            "order_accuracy": order.float().mean(),
            **{f"{name}_accuracy": right.float().mean() for name, right in by_kind},
        }

    def panels(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        table = self.jigsaw.permutations
        vectors = self.jigsaw.vectors(batch["cells"])
        found = table[self.jigsaw.classifier(vectors).argmax(1)]
        slots = batch["cells"].unflatten(0, (-1, table.shape[1]))
        solved = restore_cells(half_turn(slots, self.turn_logits(vectors) > 0), found)
        target = restore_cells(half_turn(slots, batch["turns"]), table[batch["label"]])
        return {"shuffled": side_by_side(slots), "solved": side_by_side(solved), "target": side_by_side(target)}


__all__ = ["Rubik"]
