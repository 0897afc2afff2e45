"""Barlow Twins: redundancy reduction, cross-correlation of two views to the identity, no negatives.

Zbontar, Jing, Misra, LeCun, Deny, "Barlow Twins: Self-Supervised Learning via Redundancy Reduction", ICML 2021.
https://arxiv.org/abs/2103.03230
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from monai_ssl.arguments import check_batch_size, check_interval
from monai_ssl.losses import barlow_twins
from monai_ssl.methods.base import Method
from monai_ssl.networks import Encoder, ProjectedEncoder, projector


class BarlowTwins(Method):
    r"""Bring the cross-correlation of the projections of two views to the identity.

    Eq. 1: :math:`L = \sum_i (1 - C_{ii})^2 + \lambda \sum_{i \ne j} C_{ij}^2`, with :math:`C` over the batch of all
    processes. There are no negatives; it wants wide projections instead (Fig. 4).

    Args:
        encoder: to pre-train.
        widths: of the projector's layers.
        off_diagonal: the weight :math:`\lambda` of the redundancy.

    Batch:

    ==================== ======================= ===================================
    key                  shape                   content
    ==================== ======================= ===================================
    ``view1``, ``view2`` (B, C, \*spatial)       two augmented crops of one image
    ==================== ======================= ===================================

    Raises:
        ValueError: for a batch of one sample, or a negative ``off_diagonal``.

    >>> import torch
    >>> from monai_ssl.networks import ConvEncoder
    >>> method = BarlowTwins(ConvEncoder(2, widths=(4, 8)), widths=(16, 16), off_diagonal=0.0)
    >>> x = torch.rand(4, 1, 16, 16)
    >>> loss = method.losses({"view1": x, "view2": x})["cross_correlation"]
    >>> loss < 1e-3  # equal views: each feature correlates with itself
    tensor(True)
    """

    shared_view = "view1"

    def __init__(
        self, encoder: Encoder, *, widths: Sequence[int] = (8192, 8192, 8192), off_diagonal: float = 0.0051
    ) -> None:
        super().__init__()
        check_interval("[0, inf)", off_diagonal=off_diagonal)
        self.network = ProjectedEncoder(encoder, projector([encoder.channels[-1], *widths], norm=True, bias=False))
        self.off_diagonal = off_diagonal

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return self.losses_from(self.encoder(batch[self.shared_view]), batch)

    def losses_from(self, features: Sequence[Tensor], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the losses, given the ``features`` of ``view1``, so that other tasks may share them."""
        check_batch_size(len(batch["view1"]), "Barlow Twins")
        z1, z2 = self.network.project(features), self.network(batch["view2"])
        return {"cross_correlation": barlow_twins(z1, z2, self.off_diagonal)}


__all__ = ["BarlowTwins"]
