"""SimSiam: predictor and stop-gradient between two views, no negatives, no momentum encoder.

Chen, He, "Exploring Simple Siamese Representation Learning", CVPR 2021. https://arxiv.org/abs/2011.10566
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from monai_ssl.arguments import check_batch_size
from monai_ssl.losses import symmetric_cosine
from monai_ssl.methods.base import Method
from monai_ssl.networks import Encoder, ProjectedEncoder, mlp, projector


class SimSiam(Method):
    r"""Make two views of an image alike, without negatives, queue or momentum encoder.

    Eq. 2 and 4: :math:`L = -\frac12 \cos(p_1, \mathrm{sg}\,z_2) - \frac12 \cos(p_2, \mathrm{sg}\,z_1)`. Without the
    stop-gradient or the predictor all images end at the same vector (Sec. 4.1, 4.2), so neither can be turned off.

    Args:
        encoder: to pre-train.
        dim: of the projections, and width of the projector.
        hidden: width of the predictor, the bottleneck of the paper.

    Batch:

    ==================== ======================= ===================================
    key                  shape                   content
    ==================== ======================= ===================================
    ``view1``, ``view2`` (B, C, \*spatial)       two augmented crops of one image
    ==================== ======================= ===================================

    Raises:
        ValueError: for a batch of one sample.

    >>> import torch
    >>> from monai_ssl.networks import ConvEncoder
    >>> method = SimSiam(ConvEncoder(2, widths=(4, 8)), dim=8, hidden=4)
    >>> loss = method.losses({"view1": torch.rand(2, 1, 16, 16), "view2": torch.rand(2, 1, 16, 16)})["similarity"]
    >>> -1 <= loss <= 1
    tensor(True)
    """

    shared_view = "view1"

    def __init__(self, encoder: Encoder, *, dim: int = 2048, hidden: int = 512) -> None:
        super().__init__()
        head = projector([encoder.channels[-1], dim, dim, dim], norm=True, bias=False, last_norm="plain")
        self.network = ProjectedEncoder(encoder, head)
        self.predictor = mlp(dim, hidden, dim)

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return self.losses_from(self.encoder(batch[self.shared_view]), batch)

    def losses_from(self, features: Sequence[Tensor], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the losses, given the ``features`` of ``view1``, so that other tasks may share them."""
        check_batch_size(len(batch["view1"]), "SimSiam")
        z1, z2 = self.network.project(features), self.network(batch["view2"])
        p1, p2 = self.predictor(z1), self.predictor(z2)
        return {"similarity": symmetric_cosine(p1, p2, z1, z2)}

    def parameter_groups(self, step: str = "losses") -> list[dict[str, Any]]:
        """Return two groups; the predictor keeps its learning rate (Sec. 4.2: it should adapt to the latest z)."""
        predictor = {id(p) for p in self.predictor.parameters()}
        trained = list(self.step_parameters(step))
        return [
            {"params": [p for p in trained if id(p) not in predictor]},
            {"params": list(self.predictor.parameters()), "fixed_lr": True},
        ]


__all__ = ["SimSiam"]
