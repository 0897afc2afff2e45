"""CMC: contrastive multiview coding, two encoders that find each other's image in memory banks.

Tian, Krishnan, Isola, "Contrastive Multiview Coding", ECCV 2020. https://arxiv.org/abs/1906.05849
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from monai_ssl.losses import InstanceContrast
from monai_ssl.methods.base import Method
from monai_ssl.networks import Encoder, SplitEncoder


class CMC(Method):
    r"""From one part of an image, find the entry that its other part left in the memory bank, and the reverse.

    :math:`L = L(f_1, v_2) + L(f_2, v_1)` (eq. 6): vectors of the first part meet the bank of the second, and each
    encoder learns from its own term only. The parts are what :class:`~monai_ssl.networks.SplitEncoder` says: groups of
    channels, or image and gradient magnitude. What is transferred are both encoders side by side.

    Validation scans have no entry in the banks: there the positive is the present vector of the other part.

    Args:
        encoder: two encoders, mostly of half the width.
        samples: N, the length of the data set.
        dim: of a vector.
        negatives: m; no more than N - 1 are taken.
        momentum: of the banks.
        temperature: :math:`\tau`, positive.
        objective: ``"softmax"`` as in PyContrast, or ``"nce"``, the paper's.

    Batch:

    ========= =================== ==============================
    key       shape               content
    ========= =================== ==============================
    ``view``  (B, C, \*spatial)   an image with all its channels
    ``index`` (B,)                which sample of the data set
    ========= =================== ==============================

    Raises:
        ValueError: for a number outside its range, or a data set of one sample.

    >>> import torch
    >>> from monai_ssl.networks import ConvEncoder
    >>> two = SplitEncoder(ConvEncoder(2, widths=(4, 8)), ConvEncoder(2, widths=(4, 8)), [[0], [1]])
    >>> method = CMC(two, samples=20, dim=4)
    >>> sorted(method.losses({"view": torch.rand(3, 2, 16, 16), "index": torch.arange(3)}))
    ['first', 'second']
    """

    def __init__(
        self,
        encoder: SplitEncoder,
        samples: int,
        *,
        dim: int = 128,
        negatives: int = 4096,
        momentum: float = 0.5,
        temperature: float = 0.07,
        objective: Literal["softmax", "nce"] = "softmax",
    ) -> None:
        super().__init__()
        self.network = encoder
        self.heads = nn.ModuleList(nn.Linear(half.width, dim) for half in (encoder.first, encoder.second))
        # of the bank of the first part, and of the second
        self.first, self.second = (
            InstanceContrast(
                samples, dim, negatives=negatives, momentum=momentum, temperature=temperature, objective=objective
            )
            for _ in range(2)
        )

    @property
    def encoder(self) -> Encoder:
        encoder: Encoder = self.network
        return encoder

    @property
    def chance(self) -> dict[str, float]:
        return {"first": self.second.chance, "second": self.first.chance}

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        index, halves = batch["index"], self.network.halves(batch["view"])
        f1, f2 = (F.normalize(head(half).float(), dim=1) for head, half in zip(self.heads, halves, strict=True))
        v1, v2 = self.first.positives(index, lambda: f1), self.second.positives(index, lambda: f2)
        self.first.bank.hold(index, f1)
        self.second.bank.hold(index, f2)
        return {"first": self.second(f1, v2, index), "second": self.first(f2, v1, index)}

    def after_step(self) -> None:
        self.first.release()
        self.second.release()


__all__ = ["CMC"]
