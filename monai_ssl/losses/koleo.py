"""KoLeo, the differential entropy of a batch (Sablayrolles et al., ICLR 2019, https://arxiv.org/abs/1806.03198)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_ssl.arguments import check_batch_size
from monai_ssl.losses.gather import gather

EPSILON = 1e-8
"""Added to distances below the logarithm: vectors that are equal cost 18.4."""


def koleo(z: Tensor) -> Tensor:
    r"""Return :math:`-\frac1B \sum_i \log \min_{j \ne i} \|z_i - z_j\|` of unit vectors: low when they spread evenly.

    Eq. 6, on the sphere and over the batch of all processes, in float32 under autocast. Vectors that are equal pull
    nowhere: their gradient is 0.

    Args:
        z: (B, D), of any length.

    Raises:
        ValueError: when the whole batch has one sample.

    >>> koleo(torch.tensor([[1.0, 0.0], [-3.0, 0.0]])).exp()  # two poles are as far apart as can be
    tensor(0.5000)
    """
    with torch.autocast(z.device.type, enabled=False):
        unit = F.normalize(gather(z.float()), dim=1)
        check_batch_size(len(unit), "KoLeo")
        with torch.no_grad():
            others = (unit @ unit.T).fill_diagonal_(-torch.inf)
            nearest = others.argmax(1)
        distance = torch.linalg.vector_norm(unit - unit[nearest], dim=1)
        return -(distance + EPSILON).log().mean()


__all__ = ["EPSILON", "koleo"]
