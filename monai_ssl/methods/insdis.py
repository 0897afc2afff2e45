"""InsDis (NPID): instance discrimination, every image a class of its own, with a memory bank of their vectors.

Wu, Xiong, Yu, Lin, "Unsupervised Feature Learning via Non-parametric Instance Discrimination", CVPR 2018.
https://arxiv.org/abs/1805.01978
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from monai_ssl.arguments import check_interval
from monai_ssl.losses import InstanceContrast
from monai_ssl.methods.base import Method
from monai_ssl.networks import Encoder, ProjectedEncoder, projector


class InsDis(Method):
    r"""Find the entry that an image left in the memory bank among the entries of other images.

    :math:`p(i | v) = \exp(v_i f / \tau) / Z` (eq. 2), by a softmax over the positive and m negatives or by NCE (eq. 5
    to 7), see :class:`~monai_ssl.losses.InstanceContrast`; with the proximal term
    :math:`+ \lambda \|f - v_i\|^2` (eq. 9) if wished. An instance is a window slot of a scan.

    Validation scans have no entry in the bank: there the positive is the vector of ``view2``.

    Args:
        encoder: to pre-train.
        samples: N, the length of the data set.
        dim: of a vector.
        negatives: m; no more than N - 1 are taken.
        momentum: of the bank.
        temperature: :math:`\tau`, positive.
        objective: ``"softmax"`` as in PyContrast, or ``"nce"``, the paper's.
        proximal: :math:`\lambda`; 30 in the paper's code, 0 in PyContrast.

    Batch:

    ========= =================== ==============================================
    key       shape               content
    ========= =================== ==============================================
    ``view1`` (B, C, \*spatial)   a crop
    ``view2`` (B, C, \*spatial)   another one; read in validation only
    ``index`` (B,)                which sample of the data set
    ========= =================== ==============================================

    Raises:
        ValueError: for a number outside its range, or a data set of one sample.

    >>> import torch
    >>> from monai_ssl.networks import ConvEncoder
    >>> method = InsDis(ConvEncoder(2, widths=(4, 8)), samples=20, dim=4, temperature=1e6)
    >>> loss = method.losses({"view1": torch.rand(3, 1, 16, 16), "index": torch.arange(3)})["instance"]
    >>> torch.isclose(loss.exp(), torch.tensor(20.0))  # so hot that all samples are alike
    tensor(True)
    """

    def __init__(
        self,
        encoder: Encoder,
        samples: int,
        *,
        dim: int = 128,
        negatives: int = 4096,
        momentum: float = 0.5,
        temperature: float = 0.07,
        objective: Literal["softmax", "nce"] = "softmax",
        proximal: float = 0.0,
    ) -> None:
        super().__init__()
        check_interval("[0, inf)", proximal=proximal)
        self.proximal = proximal
        self.network = ProjectedEncoder(encoder, projector([encoder.width, dim]))
        self.instances = InstanceContrast(
            samples, dim, negatives=negatives, momentum=momentum, temperature=temperature, objective=objective
        )

    @property
    def chance(self) -> dict[str, float]:
        return {"instance": self.instances.chance}

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        vectors = self.embed(batch["view1"])
        positives = self.instances.positives(batch["index"], lambda: self.embed(batch["view2"]))
        terms = {"instance": self.instances(vectors, positives, batch["index"])}
        if self.proximal:
            terms["proximal"] = self.proximal * (vectors - positives).square().sum(1).mean()
        self.instances.bank.hold(batch["index"], vectors)
        return terms

    def embed(self, view: Tensor) -> Tensor:
        """Return unit vectors (B, dim) of crops (B, C, *spatial)."""
        return F.normalize(self.network(view).float(), dim=1)

    def after_step(self) -> None:
        self.instances.release()


__all__ = ["InsDis"]
