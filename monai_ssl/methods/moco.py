"""MoCo v1 and v2: InfoNCE with a memory queue, momentum encoder (EMA) and ShuffleBN.

v1: He, Fan, Wu, Xie, Girshick, "Momentum Contrast for Unsupervised Visual Representation Learning", CVPR 2020.
https://arxiv.org/abs/1911.05722
v2: Chen, Fan, Girshick, He, "Improved Baselines with Momentum Contrastive Learning", 2020.
https://arxiv.org/abs/2003.04297
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from monai_ssl.arguments import check_batch_size, check_choice, check_interval
from monai_ssl.losses import FeatureQueue, info_nce
from monai_ssl.methods.base import Method
from monai_ssl.networks import (
    Encoder,
    MomentumNetwork,
    ProjectedEncoder,
    projector,
    shuffle_batch,
    unshuffle_batch,
)

TEMPERATURES = {"v1": 0.07, "v2": 0.2}


class MoCo(Method):
    r"""Contrast a query with its own key and with a queue of earlier keys.

    :math:`L = -\log\frac{\exp(q k_+/\tau)}{\exp(q k_+/\tau) + \sum_{i=1}^K \exp(q k_i/\tau)}` (v1, eq. 1), with the
    query :math:`q = f_q(x_1)`, the key :math:`k_+ = f_k(x_2)`, and
    :math:`\theta_k \leftarrow m \theta_k + (1 - m) \theta_q` (v1, eq. 2).

    The key network follows after the optimizer step, and the keys of the step enter the queue then. The authors' code
    does the former at the start of the next iteration and the latter at the end of the forward pass. Every key and
    every loss is the same either way; but validation, which has no optimizer step, changes nothing, and with gradient
    accumulation all batches of one step see the same key network and the same queue.

    Args:
        encoder: what is pre-trained, :math:`f_q` without its head.
        version: ``"v2"`` has two linear layers with ReLU as head, ``"v1"`` a single one. The views of the two differ
            too; they stand in the bundle.
        dim: length of a key.
        queue_size: keys to contrast with, K; at least as many as the batch of all processes.
        momentum: m, in [0, 1].
        temperature: positive; ``None`` for that of the version, 0.07 or 0.2.

    Batch:

    ========= =================== =====================
    key       shape               content
    ========= =================== =====================
    ``view1`` (B, C, \*spatial)   what gives the query
    ``view2`` (B, C, \*spatial)   what gives the key
    ========= =================== =====================

    Raises:
        ValueError: for another version, a number outside its range, a batch of one sample, or one larger than the
            queue.

    >>> from monai_ssl.networks import ConvEncoder
    >>> method = MoCo(ConvEncoder(2, widths=(4, 8)), dim=4, queue_size=64)
    >>> before = method.queue.features.clone()
    >>> _ = method.losses({"view1": torch.rand(2, 1, 16, 16), "view2": torch.rand(2, 1, 16, 16)})
    >>> method.after_step()  # the keys of the step enter the queue
    >>> int((method.queue.features != before).any(1).sum())
    2
    """

    shared_view = "view1"

    def __init__(
        self,
        encoder: Encoder,
        version: str = "v2",
        *,
        dim: int = 128,
        queue_size: int = 65536,
        momentum: float = 0.999,
        temperature: float | None = None,
    ) -> None:
        super().__init__()
        check_choice(TEMPERATURES, version=version)
        check_interval("[0, 1]", momentum=momentum)
        self.temperature = TEMPERATURES[version] if temperature is None else temperature
        check_interval("(0, inf)", temperature=self.temperature)
        self.momentum = momentum
        width = encoder.width
        head = projector([width, dim] if version == "v1" else [width, width, dim])
        self.query_network = ProjectedEncoder(encoder, head)
        self.key_network = MomentumNetwork(self.query_network)
        self.queue = FeatureQueue(dim, queue_size)

    @property
    def encoder(self) -> Encoder:
        return self.query_network.encoder

    @property
    def chance(self) -> dict[str, float]:
        return {"contrast": math.log1p(len(self.queue.features))}

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return self.losses_from(self.encoder(batch[self.shared_view]), batch)

    def losses_from(self, features: Sequence[Tensor], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the terms, given the feature maps of ``view1``, so that another objective may share them."""
        query, key = self.embed(features, batch)
        loss = info_nce(query, key, self.queue.features, self.temperature)
        self.queue.hold(key)
        return {"contrast": loss}

    def embed(self, features: Sequence[Tensor], batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return queries and keys (B, dim), given the feature maps of ``view1``."""
        return self.query_network.project(features), self._keys(batch["view2"])

    def after_step(self) -> None:
        self.key_network.follow(self.query_network, self.momentum)
        self.queue.release()

    @torch.no_grad()
    def _keys(self, x: Tensor) -> Tensor:
        """Keys (B, dim) of images; dealt among the processes, so that batch norm does not betray pairs (v1, 3.3)."""
        if not self.training:
            # nothing to betray then, and the processes may have different amounts of validation data
            check_batch_size(len(x), "MoCo")
            return self.key_network(x)
        dealt, order = shuffle_batch(x, self.generator)
        check_batch_size(len(order), "MoCo")
        return unshuffle_batch(self.key_network(dealt), order)


__all__ = ["MoCo"]
