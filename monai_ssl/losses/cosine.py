"""Negative cosine similarity with stop-gradient, as in SimSiam (Chen and He, CVPR 2021), BYOL and PCRLv2 (eq. 5)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def symmetric_cosine(p1: Tensor, p2: Tensor, v1: Tensor, v2: Tensor) -> Tensor:
    r""":math:`-\frac12[\cos(p_1, \mathrm{sg}\,v_2) + \cos(p_2, \mathrm{sg}\,v_1)]`, the mean over the batch.

    No gradient reaches the vectors ``v``; the predictions ``p`` carry it. Computed in float32 under autocast.

    Args:
        p1: predictions (B, D) of the first view.
        p2: predictions (B, D) of the second view.
        v1: vectors (B, D) of the first view.
        v2: vectors (B, D) of the second view.

    Returns:
        A scalar in [-1, 1]; -1 when each prediction points along the other view's vector.
    """
    p1, p2, v1, v2 = p1.float(), p2.float(), v1.detach().float(), v2.detach().float()
    return -0.5 * (F.cosine_similarity(p1, v2).mean() + F.cosine_similarity(p2, v1).mean())
