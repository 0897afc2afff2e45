"""Collapse metrics: standard deviation of normalized representations, and effective rank."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def spread(x: Tensor) -> float:
    r"""Mean over dimensions of the standard deviation of :math:`x / \|x\|`, in units of :math:`1 / \sqrt{D}`.

    Vectors that point everywhere alike give about 1, identical ones 0; below 0.2 a representation is as good as
    collapsed. See Chen & He, "Exploring Simple Siamese Representation Learning", CVPR 2021, Sec. 4.1.

    Args:
        x: representations (N, D), N >= 2.

    Raises:
        ValueError: for another shape.
    """
    _check(x)
    unit = F.normalize(x.cpu().double(), dim=1)
    return float(unit.std(0, correction=0).mean() * x.shape[1] ** 0.5)


def effective_rank(x: Tensor) -> float:
    r"""Effective rank :math:`\exp(-\sum_k p_k \log p_k)`, :math:`p_k = \sigma_k / \sum_j \sigma_j`.

    Between 1 (all vectors on a line) and min(N, D). See Garrido et al., "RankMe: Assessing the Downstream Performance
    of Pretrained Self-Supervised Representations by Their Rank", ICML 2023.

    Args:
        x: representations (N, D), N >= 2.

    Raises:
        ValueError: for another shape.
    """
    _check(x)
    # on the CPU: its SVD exists everywhere, and the matrix is small
    singular = torch.linalg.svdvals(x.cpu().double())
    p = singular / singular.sum().clamp_min(torch.finfo(torch.float64).tiny)
    return float(torch.special.entr(p).sum().exp())


def _check(x: Tensor) -> None:
    if x.ndim != 2 or len(x) < 2:
        raise ValueError(f"Representations must be (N, D) with N of at least 2 images, got {tuple(x.shape)}.")


__all__ = ["effective_rank", "spread"]
