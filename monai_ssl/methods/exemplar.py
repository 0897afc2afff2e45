"""Exemplar: triplet loss between a window, its distorted copy and another scan.

Dosovitskiy et al., "Discriminative Unsupervised Feature Learning with Exemplar Convolutional Neural Networks", TPAMI
2015, https://arxiv.org/abs/1406.6909; with a triplet loss in 3-D Taleb et al., "3D Self-Supervised Methods for Medical
Imaging", NeurIPS 2020, https://arxiv.org/abs/2006.03829.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monai_ssl.arguments import check_batch_size, check_interval
from monai_ssl.methods.base import Method
from monai_ssl.networks import Encoder, ProjectedEncoder


class Exemplar(Method):
    r"""Bring a window and its distorted copy closer together than to the window of another sample.

    :math:`L = \max(0, d(z_a, z_p) - d(z_a, z_n) + m)` with the squared distance d of codes of unit length: anchor a is
    the distorted window, positive p the window itself, negative n the window of another sample of the batch. One
    encoder and one head for all three.

    Args:
        encoder: to pre-train.
        dim: of the code.
        margin: by how much the negative shall be farther away, in (0, 4); codes are at most 4 apart.

    Batch:

    ============ =================== =========================
    key          shape               content
    ============ =================== =========================
    ``anchor``   (B, C, \*spatial)   the distorted window
    ``positive`` (B, C, \*spatial)   the window as it was cut
    ============ =================== =========================

    Raises:
        ValueError: for a margin that is out of range, or a batch of one sample.

    >>> from monai_ssl.networks import ConvEncoder
    >>> method = Exemplar(ConvEncoder(2, widths=(4, 8)), dim=8, margin=0.3)
    >>> x = torch.rand(4, 1, 16, 16)
    >>> loss = method.losses({"anchor": x, "positive": x})["triplet"]
    >>> 0 <= loss <= 0.301  # at most the margin, since anchor and positive are the same
    tensor(True)
    """

    def __init__(self, encoder: Encoder, *, dim: int = 1024, margin: float = 0.3) -> None:
        super().__init__()
        # 4 is the largest squared distance of unit vectors
        check_interval("(0, 4)", margin=margin)
        self.network = ProjectedEncoder(encoder, nn.Linear(encoder.channels[-1], dim))
        self.margin = margin

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        anchor, positive, negative = self.triplets(batch)
        loss = F.triplet_margin_with_distance_loss(
            anchor, positive, negative, distance_function=squared_distance, margin=self.margin
        )
        return {"triplet": loss}

    def triplets(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return the codes (B, dim) of anchors, positives and negatives, of unit length."""
        # together, so that batch norm knows no difference between them
        codes = self.network(torch.cat([batch["anchor"], batch["positive"]]))
        anchor, positive = F.normalize(codes.float(), dim=1).chunk(2)
        return anchor, positive, positive[derangement(len(positive)).to(positive.device)]

    def metrics(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        anchor, positive, negative = self.triplets(batch)
        nearer = squared_distance(anchor, positive) < squared_distance(anchor, negative)
        return {"accuracy": nearer.float().mean()}


def derangement(count: int) -> Tensor:
    """Return a random rotation of 0 to ``count`` - 1 that leaves none in its place, from torch's global generator.

    Raises:
        ValueError: when ``count`` is below 2.
    """
    check_batch_size(count, "Exemplar")
    return (torch.arange(count) - torch.randint(1, count, ())) % count


def squared_distance(x: Tensor, y: Tensor) -> Tensor:
    """Return the squared Euclidean distances (B,) of vectors (B, D)."""
    return (x - y).square().sum(-1)


__all__ = ["Exemplar", "derangement", "squared_distance"]
