"""VICReg: equal vectors of two views, each feature of unit variance, features without covariance; no negatives.

Bardes, Ponce, LeCun, "VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised Learning", ICLR 2022.
https://arxiv.org/abs/2105.04906
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from monai_ssl.arguments import check_batch_size, check_weights
from monai_ssl.losses import vicreg
from monai_ssl.losses.vicreg import COLLAPSED, VICRegTerms
from monai_ssl.methods.base import Method
from monai_ssl.networks import Encoder, ProjectedEncoder, projector


class VICReg(Method):
    r"""Bring the embeddings of two views together, without letting features die or repeat each other.

    Eq. 6: :math:`L = \lambda s(Z, Z') + \mu (v(Z) + v(Z')) / 2 + \nu (c(Z) + c(Z'))`, with s the mean squared
    difference, v the hinge of the standard deviation of each feature at 1, and c the mean square of the covariances of
    different features, all over the batch of all processes. The two views could have networks of their own.

    Args:
        encoder: to pre-train.
        widths: of the expander's layers.
        weights: :math:`\lambda, \mu, \nu`.

    Batch:

    ==================== ======================= ===================================
    key                  shape                   content
    ==================== ======================= ===================================
    ``view1``, ``view2`` (B, C, \*spatial)       two augmented crops of one image
    ==================== ======================= ===================================

    Raises:
        ValueError: for a batch of one sample, or negative weights.

    >>> import torch
    >>> from monai_ssl.networks import ConvEncoder
    >>> method = VICReg(ConvEncoder(2, widths=(4, 8)), widths=(16, 16))
    >>> x = torch.rand(4, 1, 16, 16)
    >>> terms = method.losses({"view1": x, "view2": x})
    >>> sorted(terms), terms["invariance"].item()  # equal views
    (['covariance', 'invariance', 'variance'], 0.0)
    """

    shared_view = "view1"

    def __init__(
        self,
        encoder: Encoder,
        *,
        widths: Sequence[int] = (8192, 8192, 8192),
        weights: Sequence[float] = (25.0, 25.0, 1.0),
    ) -> None:
        super().__init__()
        self.network = ProjectedEncoder(encoder, projector([encoder.channels[-1], *widths], norm=True, bias=False))
        self.weights = check_weights(weights, VICRegTerms._fields)

    @property
    def chance(self) -> dict[str, float]:
        """The terms of a network that gives all images the same vector."""
        return {"invariance": 0.0, "variance": self.weights[1] * COLLAPSED, "covariance": 0.0}

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return self.losses_from(self.encoder(batch[self.shared_view]), batch)

    def losses_from(self, features: Sequence[Tensor], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the losses, given the ``features`` of ``view1``, so that other tasks may share them."""
        check_batch_size(len(batch["view1"]), "VICReg")
        terms = vicreg(self.network.project(features), self.network(batch["view2"]))._asdict()
        return {name: weight * term for weight, (name, term) in zip(self.weights, terms.items(), strict=True)}


__all__ = ["VICReg"]
