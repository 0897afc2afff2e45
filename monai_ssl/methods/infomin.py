"""InfoMin: MoCo v2 on views that share little, and a branch of shuffled patches.

Tian, Sun, Poole, Krishnan, Schmid, Isola, "What Makes for Good Views for Contrastive Learning?", NeurIPS 2020.
https://arxiv.org/abs/2005.10243
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from torch import Tensor

from monai_ssl.arguments import check_interval
from monai_ssl.losses import info_nce
from monai_ssl.methods.base import Method
from monai_ssl.methods.moco import MoCo
from monai_ssl.networks import Encoder, ShuffledPatches


class InfoMin(Method):
    r"""MoCo v2 whose key must be found from a view and from patches of the image in random order.

    :math:`L = (1 - \beta) L_{MoCo}(q, k) + \beta L_{MoCo}(q^t, k)` with :math:`q^t` of the shuffled patches, as in the
    authors' code. The paper's finding is about the views: transfer is best when they share what the task needs and
    nothing else, so how far apart they are is the knob to turn.

    Args:
        moco: the encoder with its head, keys and queue.
        cells: number of patches along each axis.
        beta: :math:`\beta`, in [0, 1]; 0 is MoCo.

    Batch:

    ==================== ==================== =========================================
    key                  shape                content
    ==================== ==================== =========================================
    ``view1``, ``view2`` (B, C, \*spatial)    those of MoCo
    ``cells``            (B * n, C, \*cell)   patches in their order, sample-major
    ==================== ==================== =========================================

    Raises:
        ValueError: for a ``beta`` outside [0, 1], or what MoCo says.

    >>> import torch
    >>> from monai_ssl.networks import ConvEncoder
    >>> method = InfoMin(MoCo(ConvEncoder(2, widths=(4, 8)), dim=4, queue_size=16), cells=(2, 2))
    >>> batch = {name: torch.rand(2, 1, 16, 16) for name in ("view1", "view2")}
    >>> sorted(method.losses({**batch, "cells": torch.rand(8, 1, 8, 8)}))
    ['contrast', 'patches']
    """

    def __init__(self, moco: MoCo, cells: Sequence[int], *, beta: float = 0.5) -> None:
        super().__init__()
        check_interval("[0, 1]", beta=beta)
        self.moco, self.beta = moco, beta
        self.shuffled = ShuffledPatches(moco.encoder.width, math.prod(cells), moco.queue.features.shape[1])

    @property
    def encoder(self) -> Encoder:
        return self.moco.encoder

    @property
    def chance(self) -> dict[str, float]:
        value = self.moco.chance["contrast"]
        return {"contrast": (1 - self.beta) * value, "patches": self.beta * value}

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        moco = self.moco
        query, key = moco.embed(moco.encoder(batch["view1"]), batch)
        shuffled = self.shuffled(self.encoder.pooled(batch["cells"]))
        contrast, patches = (info_nce(q, key, moco.queue.features, moco.temperature) for q in (query, shuffled))
        moco.queue.hold(key)
        return {"contrast": (1 - self.beta) * contrast, "patches": self.beta * patches}

    def after_step(self) -> None:
        self.moco.after_step()


__all__ = ["InfoMin"]
