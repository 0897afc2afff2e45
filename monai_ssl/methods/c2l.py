"""C2L: contrast images, mixup of images and mixup of features with a memory queue (momentum teacher).

Zhou, Yu, Bian, Hu, Ma, Zheng, "Comparing to Learn: Surpassing ImageNet Pretraining on Radiographs by Comparing Image
Representations", MICCAI 2020. https://arxiv.org/abs/2007.07423
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from monai_ssl.arguments import check_batch_size, check_interval
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


class C2L(Method):
    r"""The mean of three contrasts, all with the same negatives: the keys of earlier scans.

    With student f, teacher :math:`f'`, images mixed by :math:`\tilde x = \lambda x + (1 - \lambda) x_\pi`, and
    InfoNCE of a query and its key:
    :math:`L = \frac13 [N(f(x_1), f'(x_2)) + N(f(\tilde x_1), f'(\tilde x_2)) + N(f(\tilde x_1), k_{mix})]`, where
    :math:`k_{mix} = \lambda k + (1 - \lambda) k_\pi` mixes the teacher's vectors :math:`k = f'(x_2)` before they are
    brought to unit length. One ratio and one permutation serve both views and the features.

    The teacher follows after the optimizer step, and only the vectors k enter the queue then: the authors' code puts
    the mixed ones in too, between the terms, so that later terms have keys of their own scans as negatives.

    Args:
        encoder: what is pre-trained, of the student.
        dim: length of a vector.
        queue_size: vectors to contrast with; at least as many as the batch of all processes.
        momentum: of the teacher, in [0, 1].
        temperature: positive.
        alpha: the ratio is max(l, 1 - l) with l drawn from Beta(alpha, alpha); positive, 1 draws it uniformly.

    Batch:

    ========= =================== =======================
    key       shape               content
    ========= =================== =======================
    ``view1`` (B, C, \*spatial)   what the student sees
    ``view2`` (B, C, \*spatial)   what the teacher sees
    ========= =================== =======================

    Raises:
        ValueError: for a number outside its range, a batch of one sample, with which nothing can be mixed, or one
            larger than the queue.

    >>> from monai_ssl.networks import ConvEncoder
    >>> method = C2L(ConvEncoder(2, widths=(4, 8)), dim=4, queue_size=64)
    >>> sorted(method.losses({"view1": torch.rand(2, 1, 16, 16), "view2": torch.rand(2, 1, 16, 16)}))
    ['contrast', 'mixed_contrast', 'mixed_feature_contrast']
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        dim: int = 128,
        queue_size: int = 16384,
        momentum: float = 0.999,
        temperature: float = 0.07,
        alpha: float = 1.0,
    ) -> None:
        super().__init__()
        check_interval("[0, 1]", momentum=momentum)
        check_interval("(0, inf)", temperature=temperature, alpha=alpha)
        self.momentum, self.temperature, self.alpha = momentum, temperature, alpha
        self.student = ProjectedEncoder(encoder, projector([encoder.channels[-1], dim]))
        self.teacher = MomentumNetwork(self.student)
        self.queue = FeatureQueue(dim, queue_size)

    @property
    def encoder(self) -> Encoder:
        return self.student.encoder

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        x1, x2 = batch["view1"], batch["view2"]
        check_batch_size(len(x1), "C2L mixes and")
        ratio, order = self._draw(len(x1), x1.device)
        mixed1, mixed2 = mix(x1, ratio, order), mix(x2, ratio, order)
        query, mixed_query = self.student(x1), self.student(mixed1)
        key, mixed_key = self._keys(x2).float(), self._keys(mixed2)
        self.queue.hold(key)
        return {
            "contrast": self._contrast(query, key) / 3,
            "mixed_contrast": self._contrast(mixed_query, mixed_key) / 3,
            "mixed_feature_contrast": self._contrast(mixed_query, mix(key, ratio, order)) / 3,
        }

    def after_step(self) -> None:
        self.teacher.follow(self.student, self.momentum)
        self.queue.release()

    def panels(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        x1, x2 = batch["view1"], batch["view2"]
        ratio, order = self._draw(len(x1), x1.device)
        return {"view1": x1, "view2": x2, "mixed1": mix(x1, ratio, order), "mixed2": mix(x2, ratio, order)}

    def _draw(self, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
        # one number, which stays on the CPU; checking the arguments would read values
        share = torch.distributions.Beta(self.alpha, self.alpha, validate_args=False).sample()
        return torch.maximum(share, 1 - share), torch.randperm(count).to(device)

    def _contrast(self, query: Tensor, key: Tensor) -> Tensor:
        return info_nce(query, key, self.queue.features, self.temperature)

    @torch.no_grad()
    def _keys(self, x: Tensor) -> Tensor:
        """Vectors (B, dim) of the teacher; dealt among the processes, so that batch norm does not betray pairs."""
        if not self.training:
            # nothing to betray then, and the processes may have different amounts of validation data
            return self.teacher(x)
        dealt, order = shuffle_batch(x, self.generator)
        return unshuffle_batch(self.teacher(dealt), order)


def mix(x: Tensor, ratio: float | Tensor, order: Tensor) -> Tensor:
    """Return ``ratio`` of each sample (B, ...) and the rest of its partner."""
    return ratio * x + (1 - ratio) * x[order]


__all__ = ["C2L"]
