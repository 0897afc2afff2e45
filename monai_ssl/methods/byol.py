"""BYOL: online network with predictor regresses a momentum (EMA) target network, no negatives.

Grill et al., "Bootstrap Your Own Latent: A New Approach to Self-Supervised Learning", NeurIPS 2020.
https://arxiv.org/abs/2006.07733
In 3-D as in Zhang and Gu, "Dive into Self-Supervised Learning for Medical Image Analysis: Data, Models and Tasks",
2022. https://arxiv.org/abs/2209.12157
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from monai_ssl.arguments import check_batch_size, check_choice, check_interval
from monai_ssl.losses import symmetric_cosine
from monai_ssl.methods.base import Method
from monai_ssl.networks import Encoder, MomentumNetwork, ProjectedEncoder, mlp
from monai_ssl.schedules import cosine

KEPT = ("online", "target")


class BYOL(Method):
    r"""Regress the target network's projection of one view from the online network's projection of the other.

    Eq. 2, both ways: :math:`L = 2 - 2 \cos(p_1, z'_2) + 2 - 2 \cos(p_2, z'_1)`, 0 at best, 8 at worst, with
    :math:`p = q(g(f(x)))` online and :math:`z' = g_\xi(f_\xi(x))` of the target. After each optimizer step
    :math:`\xi \leftarrow m \xi + (1 - m) \theta`; the running statistics of batch norm in the target are its own.

    Args:
        encoder: to pre-train.
        hidden: width of projector and predictor.
        dim: of the projections.
        momentum: :math:`m`, in [0, 1].
        final_momentum: what :math:`m` becomes at the end by a cosine; ``None`` keeps it (the study), 1 is the paper.
        kept: the encoder that is exported, monitored and probed, ``"online"`` or ``"target"``. The state holds both,
            as ``online.encoder`` and ``target.network.encoder``.

    Batch:

    ==================== ======================= ===================================
    key                  shape                   content
    ==================== ======================= ===================================
    ``view1``, ``view2`` (B, C, \*spatial)       two augmented crops of one image
    ==================== ======================= ===================================

    Raises:
        ValueError: for a momentum outside [0, 1], another ``kept``, or a batch of one sample.

    >>> import torch
    >>> from monai_ssl.networks import ConvEncoder
    >>> method = BYOL(ConvEncoder(2, widths=(4, 8)), hidden=8, dim=4)
    >>> loss = method.losses({"view1": torch.rand(2, 1, 16, 16), "view2": torch.rand(2, 1, 16, 16)})["regression"]
    >>> 0 <= loss <= 8
    tensor(True)
    """

    shared_view = "view1"

    def __init__(
        self,
        encoder: Encoder,
        *,
        hidden: int = 512,
        dim: int = 256,
        momentum: float = 0.996,
        final_momentum: float | None = None,
        kept: str = "online",
    ) -> None:
        super().__init__()
        final_momentum = momentum if final_momentum is None else final_momentum
        check_interval("[0, 1]", momentum=momentum, final_momentum=final_momentum)
        check_choice(KEPT, kept=kept)
        self.online = ProjectedEncoder(encoder, mlp(encoder.channels[-1], hidden, dim))
        self.predictor = mlp(dim, hidden, dim)
        self.target = MomentumNetwork(self.online)
        self.momentum = cosine(momentum, final_momentum)
        self.kept = kept

    @property
    def encoder(self) -> Encoder:
        return (self.online if self.kept == "online" else self.target.network).encoder

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return self.losses_from(self.online.encoder(batch[self.shared_view]), batch)

    def losses_from(self, features: Sequence[Tensor], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the losses, given the online ``features`` of ``view1``, so that other tasks may share them."""
        check_batch_size(len(batch["view1"]), "BYOL")
        p1 = self.predictor(self.online.project(features))
        p2 = self.predictor(self.online(batch["view2"]))
        z1, z2 = self.target(batch["view1"]), self.target(batch["view2"])
        return {"regression": 4.0 * (1.0 + symmetric_cosine(p1, p2, z1, z2))}

    def after_step(self) -> None:
        self.target.follow(self.online, self.momentum(self.progress))


__all__ = ["BYOL"]
