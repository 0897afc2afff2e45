"""Adversarial losses of generator and patch discriminator: least squares (LSGAN) or BCE (DiRA, CVPR 2022, eq. 3)."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Criterion = Literal["lsgan", "bce"]


def generator_loss(fake: Tensor, criterion: Criterion = "lsgan") -> Tensor:
    """How far logits ``fake`` of restored images are from being taken for real ones; a scalar, 0 at best.

    Args:
        fake: logits of the discriminator, of any shape.
        criterion: ``"lsgan"``, the mean of (D - 1)^2 on raw logits (the authors' code); ``"bce"``, the non-saturating
            -log D.

    Raises:
        ValueError: for another ``criterion``.
    """
    return _distance(fake, 1.0, criterion)


def discriminator_loss(real: Tensor, fake: Tensor, criterion: Criterion = "lsgan") -> Tensor:
    """Half the distance of logits ``real`` from 1 and of ``fake`` from 0; see :func:`generator_loss`."""
    return 0.5 * (_distance(real, 1.0, criterion) + _distance(fake, 0.0, criterion))


def _distance(logits: Tensor, target: float, criterion: str) -> Tensor:
    with torch.autocast(logits.device.type, enabled=False):
        logits = logits.float()
        targets = torch.full_like(logits, target)
        if criterion == "lsgan":
            return F.mse_loss(logits, targets)
        if criterion == "bce":
            return F.binary_cross_entropy_with_logits(logits, targets)
    raise ValueError(f"`gan` must be 'lsgan' or 'bce', got {criterion!r}.")
