"""Relative location (context prediction): classify where one cube lies from another.

Doersch, Gupta, Efros, "Unsupervised Visual Representation Learning by Context Prediction", ICCV 2015,
https://arxiv.org/abs/1505.05192; in 3-D Taleb et al., NeurIPS 2020, https://arxiv.org/abs/2006.03829; head and schedule
of Zhang, Gu, "Dive into Self-Supervised Learning for Medical Image Analysis: Data, Models and Tasks", Knowledge-Based
Systems 2023, https://arxiv.org/abs/2209.12157.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_ssl.arguments import check_choice
from monai_ssl.methods.base import Method
from monai_ssl.networks import CellEmbedding, Encoder, projector


class RelativeLocation(Method):
    r"""Tell in which of 26 directions (8 in 2-D) from the middle cube of a grid another one lies.

    :math:`L = \mathrm{CE}(g([f(a), f(q)]), c)`: both cubes go through the same :math:`f`, the middle one stands first.

    Args:
        encoder: to pre-train; its ``spatial_dims`` decide the number of directions.
        preset: ``"paper"``; or ``"reference"``, what the study's code computes: pooling by the maximum, ReLU before
            batch norm, and batch norm of each cube's batch alone.
        dim: of the vector of a cube.
        hidden: width of the classifier.

    Batch:

    ==================== ================= ==========================================================
    key                  shape             content
    ==================== ================= ==========================================================
    ``anchor``           (B, C, \*cube)    the middle cube
    ``query``            (B, C, \*cube)    one of its neighbors
    ``label``            (B,)              its direction, see ``transforms/relative_location.py``
    ==================== ================= ==========================================================

    Raises:
        ValueError: for an unknown preset.

    >>> from monai_ssl.networks import ConvEncoder
    >>> method = RelativeLocation(ConvEncoder(3, widths=(4, 8)), dim=8, hidden=16)
    >>> method.logits(torch.rand(2, 1, 8, 8, 8), torch.rand(2, 1, 8, 8, 8)).shape
    torch.Size([2, 26])
    """

    def __init__(
        self,
        encoder: Encoder,
        preset: Literal["paper", "reference"] = "paper",
        *,
        dim: int = 64,
        hidden: int = 1024,
    ) -> None:
        super().__init__()
        check_choice(("paper", "reference"), preset=preset)
        self.preset = preset
        if preset == "paper":
            self.network = CellEmbedding(encoder, dim)
        else:
            self.network = CellEmbedding(encoder, dim, pooling="max", order="relu_norm")
        self.num_labels = 3**encoder.spatial_dims - 1
        self.classifier = projector([2 * dim, hidden, self.num_labels])

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"location": F.cross_entropy(self.logits(batch["anchor"], batch["query"]).float(), batch["label"])}

    def logits(self, anchor: Tensor, query: Tensor) -> Tensor:
        """Return the logits (B, directions) of where ``query`` lies from ``anchor``, both (B, C, *cube)."""
        if self.preset == "reference":
            vectors = [self.network(anchor), self.network(query)]
        else:
            # together, so that batch norm knows no difference between them
            vectors = list(self.network(torch.cat([anchor, query])).chunk(2))
        logits: Tensor = self.classifier(torch.cat(vectors, dim=1))
        return logits

    def metrics(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        found = self.logits(batch["anchor"], batch["query"]).argmax(1)
        return {"accuracy": (found == batch["label"]).float().mean()}


__all__ = ["RelativeLocation"]
