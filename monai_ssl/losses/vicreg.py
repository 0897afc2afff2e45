"""VICReg's loss, variance-invariance-covariance (Bardes, Ponce, LeCun, ICLR 2022, https://arxiv.org/abs/2105.04906)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_ssl.arguments import check_batch_size
from monai_ssl.losses.gather import gather

EPSILON = 1e-4
"""Added to variances below the root (eq. 2)."""

COLLAPSED = 1 - EPSILON**0.5
"""What the variance term costs when all vectors are equal."""


class VICRegTerms(NamedTuple):
    """The three terms, without their weights."""

    invariance: Tensor
    variance: Tensor
    covariance: Tensor


def vicreg(z1: Tensor, z2: Tensor) -> VICRegTerms:
    r"""Return invariance, variance and covariance of the vectors of two views, over the batch of all processes.

    Invariance is the mean of :math:`(z_1 - z_2)^2`; variance, for either view and halved, the mean over features of
    :math:`\max(0, 1 - \sqrt{\mathrm{Var} + 10^{-4}})`; covariance, for both views, :math:`\frac{1}{D} \sum_{i \ne j}
    \mathrm{Cov}_{ij}^2`. Computed in float32 under autocast.

    Args:
        z1: (B, D) of the first views, or (B, P, D) of P places of each; these have statistics of their own.
        z2: of the second views.

    Raises:
        ValueError: when the whole batch has one sample.
    """
    with torch.autocast(z1.device.type, enabled=False):
        first, second = (gather(z.float()) for z in (z1, z2))
        check_batch_size(len(first), "VICReg")
        variance = (_missing_variance(first) + _missing_variance(second)) / 2
        return VICRegTerms(F.mse_loss(first, second), variance, _redundancy(first) + _redundancy(second))


def _missing_variance(z: Tensor) -> Tensor:
    return F.relu(1 - (z.var(0) + EPSILON).sqrt()).mean()


def _redundancy(z: Tensor) -> Tensor:
    centered = z - z.mean(0)
    # one matrix (D, D) a place
    covariance = torch.einsum("b...i,b...j->...ij", centered, centered) / (len(z) - 1)
    diagonal = covariance.diagonal(dim1=-2, dim2=-1)
    return ((covariance.square().sum((-2, -1)) - diagonal.square().sum(-1)) / z.shape[-1]).mean()


__all__ = ["COLLAPSED", "VICRegTerms", "vicreg"]
