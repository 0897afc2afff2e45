"""NT-Xent, the contrastive loss of SimCLR (Chen et al., ICML 2020, https://arxiv.org/abs/2002.05709)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_ssl.arguments import check_batch_size, check_interval
from monai_ssl.losses.gather import gather


def nt_xent(z1: Tensor, z2: Tensor, temperature: float = 0.1, symmetric: bool = True) -> Tensor:
    r"""SimCLR eq. 1 over the batch of all processes: each vector must find its partner among 2N - 1 others.

    :math:`-\log\frac{\exp(s_{ij}/\tau)}{\sum_{k \ne i}\exp(s_{ik}/\tau)}` with the cosine :math:`s`, the mean over
    the anchors. Computed in float32 under autocast.

    Args:
        z1: (B, D) of the first views.
        z2: (B, D) of the second views.
        temperature: positive.
        symmetric: both views are anchors; else only the first (TOWER eq. 4 to the letter).

    Returns:
        A scalar; log(2N - 1) when all vectors point the same way.

    Raises:
        ValueError: when the whole batch has one sample, so that there is no negative, or ``temperature`` is not
            positive.
    """
    check_interval("(0, inf)", temperature=temperature)
    with torch.autocast(z1.device.type, enabled=False):
        first, second = (gather(F.normalize(z.float(), dim=1)) for z in (z1, z2))
        n = len(first)
        check_batch_size(n, "A contrastive loss")
        z = torch.cat([first, second])
        anchors = 2 * n if symmetric else n
        logits = z[:anchors] @ z.T / temperature
        logits = logits.masked_fill(torch.eye(anchors, 2 * n, dtype=torch.bool, device=z.device), float("-inf"))
        return F.cross_entropy(logits, torch.arange(anchors, device=z.device).add(n).remainder(2 * n))
