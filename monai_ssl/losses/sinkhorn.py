"""Sinkhorn-Knopp: equipartition of a batch over clusters (SwAV: Caron et al., 2020, https://arxiv.org/abs/2006.09882)."""

from __future__ import annotations

import torch
from torch import Tensor

from monai_ssl.arguments import check_interval
from monai_ssl.losses.gather import exchanging, greatest, total

_LEAST = -1e30


def sinkhorn(scores: Tensor, epsilon: float = 0.05, iterations: int = 3) -> Tensor:
    r"""Return soft assignments (B, K) that share samples equally among clusters; without gradients.

    SwAV eq. 3 to 5: :math:`Q = \mathrm{Diag}(u) \exp(S / \varepsilon) \mathrm{Diag}(v)`, whose rows sum to 1 and whose
    columns sum to B / K once it has converged. Computed on logarithms in float32, whatever autocast says: in half
    precision :math:`\exp(1 / 0.05)` is infinite. Where gradients are on, as in training, the batch is that of all
    processes; without them (validation data, a memory bank that all hold) nothing is exchanged.

    Args:
        scores: (B, K); a row of ``-inf`` takes no part, and gets zeros.
        epsilon: positive; the larger, the more alike all assignments.
        iterations: at least 1.

    Raises:
        ValueError: for a number outside its range.

    >>> sinkhorn(torch.tensor([[3.0, 1.0], [2.0, 1.0]]), epsilon=0.01, iterations=50).round()
    tensor([[1., 0.],
            [0., 1.]])
    """
    check_interval("(0, inf)", epsilon=epsilon)
    check_interval("[1, inf)", iterations=iterations)
    across = exchanging()
    with torch.no_grad(), torch.autocast(scores.device.type, enabled=False):
        q = scores.float() / epsilon
        for _ in range(iterations):
            q = q - _over_samples(q, across)
            # a row that takes no part stays -inf
            q = q - q.logsumexp(1, keepdim=True).clamp_min(_LEAST)
        return q.exp()


def _over_samples(q: Tensor, across: bool) -> Tensor:
    """The logarithm of the sum over samples of all processes, (1, K)."""
    high = q.amax(0, keepdim=True).clamp_min(_LEAST)
    if across:
        high = greatest(high)
    summed = (q - high).exp().sum(0, keepdim=True)
    if across:
        summed = total(summed)
    return high + summed.log()


__all__ = ["sinkhorn"]
