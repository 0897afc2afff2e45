"""Contrast within a scan (CT-FM): crops of one scan are told from each other, and scans never compared.

Pai et al., "Vision Foundation Models for Computed Tomography", 2025, https://arxiv.org/abs/2501.09001; the loss is that
of Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_ssl.arguments import check_interval
from monai_ssl.methods.base import Method
from monai_ssl.networks import Encoder, ProjectedEncoder, projector


class IntraScan(Method):
    r"""NT-Xent in which positives are two views of a crop, and negatives the other crops of the same scan.

    :math:`-\log\frac{\exp(s_{ij}/\tau)}{\sum_{k \ne i}\exp(s_{ik}/\tau)}`, both views as anchors, k over all 2n of
    the scan; the mean over anchors and scans. Chance is :math:`\log(2n - 1)`, 3.367 for 15 crops. The loss of a scan
    does not depend on the others, so that nothing is exchanged between processes.

    Args:
        encoder: to pre-train.
        crops: n, crops of a scan.
        hidden: width of the projector.
        dim: of the projections.
        temperature: :math:`\tau`, positive.

    Batch:

    ==================== ====================== =======================================
    key                  shape                  content
    ==================== ====================== =======================================
    ``view1``, ``view2`` (B \* n, C, \*spatial) views of n crops of each scan in turn
    ==================== ====================== =======================================

    Raises:
        ValueError: for fewer than two crops, a temperature that is not positive, or a batch that n does not divide.

    >>> from monai_ssl.networks import ConvEncoder
    >>> method = IntraScan(ConvEncoder(2, widths=(4, 8)), crops=3, hidden=8, dim=4)
    >>> sorted(method.losses({"view1": torch.rand(6, 1, 16, 16), "view2": torch.rand(6, 1, 16, 16)}))
    ['contrast']
    """

    def __init__(
        self, encoder: Encoder, crops: int = 15, *, hidden: int = 2048, dim: int = 128, temperature: float = 0.1
    ) -> None:
        super().__init__()
        check_interval("[2, inf)", crops=crops)
        check_interval("(0, inf)", temperature=temperature)
        self.network = ProjectedEncoder(encoder, projector([encoder.channels[-1], hidden, dim]))
        self.crops, self.temperature = crops, temperature

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        logits, answers = self._logits(batch)
        return {"contrast": F.cross_entropy(logits, answers)}

    def metrics(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the ``accuracy``, the share of views whose partner is the nearest of all views of its scan."""
        logits, answers = self._logits(batch)
        return {"accuracy": (logits.argmax(1) == answers).float().mean()}

    def _logits(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return similarities (B * 2n, 2n) of all views to those of their scan, and which is the partner."""
        z = torch.cat([self._embed(batch[key]) for key in ("view1", "view2")], dim=1)
        views = 2 * self.crops
        with torch.autocast(z.device.type, enabled=False):
            logits = z @ z.transpose(1, 2) / self.temperature
            logits = logits.masked_fill(torch.eye(views, dtype=torch.bool, device=z.device), float("-inf"))
        partners = torch.arange(views, device=z.device).roll(self.crops)
        return logits.flatten(0, 1), partners.repeat(len(z))

    def _embed(self, x: Tensor) -> Tensor:
        """Return unit vectors (B, n, dim) in float32."""
        if len(x) % self.crops:
            raise ValueError(
                f"{len(x)} views are not {self.crops} of each scan: let `crops` be the `number` of the crop."
            )
        return F.normalize(self.network(x).float(), dim=1).unflatten(0, (-1, self.crops))


__all__ = ["IntraScan"]
