"""PIRL: an image and its shuffled patches share one entry of a memory bank.

Misra, van der Maaten, "Self-Supervised Learning of Pretext-Invariant Representations", CVPR 2020.
https://arxiv.org/abs/1912.01991
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor

from monai_ssl.arguments import check_interval
from monai_ssl.losses import InstanceContrast
from monai_ssl.methods.base import Method
from monai_ssl.networks import Encoder, ProjectedEncoder, ShuffledPatches, projector


class PIRL(Method):
    r"""Find the entry of an image in the bank, from the image and from its patches in random order.

    :math:`L = (1 - \beta) L_{NCE}(m_I, f(v_I)) + \beta L_{NCE}(m_I, g(v_{I^t}))` (eq. 5), where the bank's entry
    :math:`m_I` follows the image branch f only, and g shuffles the patches, so that what they mean must not depend on
    the order. Both branches end in unit vectors. Images and patches pass the encoder one after the other, so that
    batch norm never mixes their statistics.

    Validation scans have no entry in the bank: there the positive is the vector of ``view2``.

    Args:
        encoder: to pre-train.
        samples: N, the length of the data set.
        cells: number of patches along each axis.
        dim: of a vector.
        beta: :math:`\beta`, in [0, 1].
        negatives: m; no more than N - 1 are taken.
        momentum: of the bank.
        temperature: :math:`\tau`, positive.

    Batch:

    ========= ==================== =======================================================
    key       shape                content
    ========= ==================== =======================================================
    ``view1`` (B, C, \*spatial)    the image
    ``cells`` (B * n, C, \*cell)   its patches in their order, sample-major
    ``view2`` (B, C, \*spatial)    another crop; read in validation only
    ``index`` (B,)                 which sample of the data set
    ========= ==================== =======================================================

    Raises:
        ValueError: for a number outside its range, or a data set of one sample.

    >>> import torch
    >>> from monai_ssl.networks import ConvEncoder
    >>> method = PIRL(ConvEncoder(2, widths=(4, 8)), samples=20, cells=(3, 3), dim=4)
    >>> batch = {"view1": torch.rand(2, 1, 16, 16), "cells": torch.rand(18, 1, 8, 8), "index": torch.arange(2)}
    >>> sorted(method.losses(batch))
    ['image', 'patches']
    """

    def __init__(
        self,
        encoder: Encoder,
        samples: int,
        cells: Sequence[int],
        *,
        dim: int = 128,
        beta: float = 0.5,
        negatives: int = 4096,
        momentum: float = 0.5,
        temperature: float = 0.07,
    ) -> None:
        super().__init__()
        check_interval("[0, 1]", beta=beta)
        self.beta = beta
        self.network = ProjectedEncoder(encoder, projector([encoder.width, dim]))
        self.shuffled = ShuffledPatches(encoder.width, math.prod(cells), dim)
        self.instances = InstanceContrast(samples, dim, negatives=negatives, momentum=momentum, temperature=temperature)

    @property
    def chance(self) -> dict[str, float]:
        value = self.instances.chance
        return {"image": (1 - self.beta) * value, "patches": self.beta * value}

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        index = batch["index"]
        image = self.embed(batch["view1"])
        patches = self.shuffled(self.encoder.pooled(batch["cells"]))
        positives = self.instances.positives(index, lambda: self.embed(batch["view2"]))
        self.instances.bank.hold(index, image)
        return {
            "image": (1 - self.beta) * self.instances(image, positives, index),
            "patches": self.beta * self.instances(patches, positives, index),
        }

    def embed(self, view: Tensor) -> Tensor:
        """Return unit vectors (B, dim) of images (B, C, *spatial)."""
        return F.normalize(self.network(view).float(), dim=1)

    def after_step(self) -> None:
        self.instances.release()


__all__ = ["PIRL"]
