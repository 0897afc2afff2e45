"""Rubik's cube+: permutation and half turns of cubes, and which of them are masked.

Zhu, Li, Hu, Ma, Zhou, Zheng, "Rubik's Cube+: A Self-supervised Feature Learning Framework for 3D Medical Image
Analysis", Medical Image Analysis 64, 2020, https://doi.org/10.1016/j.media.2020.101746; heads and schedule of Zhang,
Gu, "Dive into Self-Supervised Learning for Medical Image Analysis: Data, Models and Tasks", Knowledge-Based Systems
2023, https://arxiv.org/abs/2209.12157.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from monai_ssl.arguments import check_weights
from monai_ssl.methods.base import Method
from monai_ssl.methods.rubik import Rubik
from monai_ssl.networks import Encoder, projector


class RubikPlus(Method):
    r"""Solve a Rubik's cube and tell which cubes were masked.

    :math:`L = \alpha L_{order} + \beta (L_{hor} + L_{ver}) + \gamma L_{mask}`: what ``Rubik`` minimizes and a binary
    cross entropy, averaged over slots, from a head of two linear layers on the same vectors.

    Args:
        encoder: to pre-train.
        permutations: the table (K, N) that the views draw from.
        preset: ``"paper"``; or ``"reference"``, what the study's code computes: ReLU before batch norm, and batch
            norm of the cubes in each slot alone.
        weights: :math:`\alpha`, :math:`\beta` and :math:`\gamma`; the paper does not give them, the study's code has
            these.
        dim: of the vector of a cube.
        hidden: width of the hidden layers of all heads.

    Batch: that of ``Rubik``, and

    =========== ======== ==========================================================
    key         shape    content
    =========== ======== ==========================================================
    ``masked``  (B * N,) whether the cube lacks voxels, sample-major as the cubes
    ``skipped`` (B * N,) whether it was drawn to be masked, but is too empty
    =========== ======== ==========================================================

    Raises:
        ValueError: for an unknown preset, weights that are not three numbers of at least 0, or when weights of another
            table are loaded.

    >>> import torch
    >>> from monai_ssl.networks import ConvEncoder
    >>> from monai_ssl.transforms import permutation_table
    >>> method = RubikPlus(ConvEncoder(3, widths=(4, 8)), permutation_table(8, count=10), dim=8, hidden=16)
    >>> batch = {"cells": torch.rand(2 * 8, 1, 8, 8, 8), "label": torch.tensor([0, 9])}
    >>> answers = {"turns": torch.zeros(2, 8, 2), "masked": torch.zeros(2 * 8)}
    >>> sorted(method.losses({**batch, **answers}))
    ['mask', 'order', 'turns']
    """

    def __init__(
        self,
        encoder: Encoder,
        permutations: Tensor,
        preset: Literal["paper", "reference"] = "paper",
        *,
        weights: Sequence[float] = (1.0, 1.0, 1.0),
        dim: int = 64,
        hidden: int = 1024,
    ) -> None:
        super().__init__()
        check_weights(weights, ("order", "turns", "masks"))
        cells = permutations.shape[1]
        self.mask_weight = weights[2]
        self.rubik = Rubik(encoder, permutations, preset, weights=weights[:2], dim=dim, hidden=hidden)
        self.mask_head = projector([cells * dim, hidden, cells])

    @property
    def encoder(self) -> Encoder:
        return self.rubik.encoder

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        vectors = self.rubik.jigsaw.vectors(batch["cells"])
        logits = self.mask_head(vectors).float().flatten()
        mask = F.binary_cross_entropy_with_logits(logits, batch["masked"].float())
        return {**self.rubik.losses_of(vectors, batch), "mask": self.mask_weight * mask}

    def metrics(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the accuracy of each sub-task, and which part of the cubes drawn for masking were too empty."""
        vectors = self.rubik.jigsaw.vectors(batch["cells"])
        right = (self.mask_head(vectors).flatten() > 0) == batch["masked"]
        skipped, masked = batch["skipped"].sum(), batch["masked"].sum()
        return {
            **self.rubik.metrics_of(vectors, batch),
            "mask_accuracy": right.float().mean(),
            "skipped": skipped / (skipped + masked).clamp(min=1),
        }

    def panels(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return self.rubik.panels(batch)


__all__ = ["RubikPlus"]
