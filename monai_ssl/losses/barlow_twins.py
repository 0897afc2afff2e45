"""Barlow Twins loss, redundancy reduction (Zbontar et al., ICML 2021, https://arxiv.org/abs/2103.03230)."""

from __future__ import annotations

import torch
from torch import Tensor

from monai_ssl.arguments import check_batch_size
from monai_ssl.losses.gather import gather

_ROUNDING = 1e-6


def barlow_twins(z1: Tensor, z2: Tensor, off_diagonal: float = 0.0051) -> Tensor:
    r"""Eq. 1: :math:`\sum_i (1 - C_{ii})^2 + \lambda \sum_{i \ne j} C_{ij}^2` with the cross-correlation :math:`C`.

    Each feature is standardized over the batch of all processes with the biased variance, so :math:`C` of equal views
    has a diagonal of exactly one (MONAI's ``BarlowTwinsLoss`` divides by the unbiased deviation and does not reach 0).
    A constant feature has correlation 0. Computed in float32 under autocast.

    Args:
        z1: (B, D) of the first views.
        z2: (B, D) of the second views.
        off_diagonal: the weight :math:`\lambda`.

    Raises:
        ValueError: when the whole batch has one sample.
    """
    with torch.autocast(z1.device.type, enabled=False):
        first, second = (_standardize(gather(z.float())) for z in (z1, z2))
        check_batch_size(len(first), "Barlow Twins")
        correlation = first.T @ second / len(first)
        squares = correlation.square()
        diagonal = correlation.diagonal()
        return (1 - diagonal).square().sum() + off_diagonal * (squares.sum() - diagonal.square().sum())


def _standardize(z: Tensor) -> Tensor:
    mean = z.mean(0)
    centered = z - mean
    variance = centered.square().mean(0)
    # the mean of a constant feature is rounded, hence its variance is not exactly 0
    constant = variance <= (_ROUNDING * mean).square()
    return centered * torch.where(constant, 0.0, variance.masked_fill(constant, 1.0).rsqrt())
