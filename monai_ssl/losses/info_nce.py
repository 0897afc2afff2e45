"""InfoNCE with a memory queue (MoCo: He et al., CVPR 2020, https://arxiv.org/abs/1911.05722)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monai_ssl.arguments import check_interval
from monai_ssl.losses.gather import gather_keys


def info_nce(query: Tensor, key: Tensor, negatives: Tensor, temperature: float = 0.2) -> Tensor:
    r"""Eq. 1: :math:`-\log\frac{\exp(q k_+/\tau)}{\exp(q k_+/\tau) + \sum_i \exp(q k_i/\tau)}`, the mean over queries.

    Queries and keys are brought to unit length here; computed in float32 under autocast.

    Args:
        query: (B, D), of any length.
        key: (B, D), the positive of each query; gradients reach it unless it is detached.
        negatives: (K, D) of unit length, as a :class:`FeatureQueue` holds them.
        temperature: positive.

    Returns:
        A scalar; log(K + 1) when all similarities are equal.

    Raises:
        ValueError: when ``temperature`` is not positive.
    """
    check_interval("(0, inf)", temperature=temperature)
    with torch.autocast(query.device.type, enabled=False):
        q, k = F.normalize(query.float(), dim=1), F.normalize(key.float(), dim=1)
        logits = torch.cat([(q * k).sum(1, keepdim=True), q @ negatives.detach().float().T], dim=1) / temperature
        return F.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long))


class FeatureQueue(nn.Module):
    """Memory queue: the last ``size`` keys, first in first out, of unit length, in buffers that a checkpoint holds.

    Keys of a step are held back by :meth:`hold` while losses are computed, and enter by :meth:`release` after the
    optimizer step: no key meets a query of its own step, and validation leaves nothing behind.

    Args:
        dim: of a key.
        size: keys that are kept.

    Raises:
        ValueError: when more keys come at once than the queue holds, or ``size`` is below 1.
    """

    features: Tensor
    pointer: Tensor

    def __init__(self, dim: int, size: int = 65536) -> None:
        super().__init__()
        check_interval("[1, inf)", queue_size=size)
        self.register_buffer("features", F.normalize(torch.randn(size, dim), dim=1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.long))
        self.held: list[Tensor] = []

    def hold(self, *keys: Tensor) -> None:
        """Keep ``keys``, each (B, D), until :meth:`release`; in training only."""
        if self.training:
            self.held.extend(k.detach() for k in keys)

    def release(self) -> None:
        """Enqueue all that was held back, in order; several batches under gradient accumulation."""
        for keys in self.held:
            self.enqueue(keys)
        self.held.clear()

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        """Replace the oldest keys by ``keys`` (B, D) of all processes, after bringing them to unit length."""
        keys = F.normalize(gather_keys(keys).float(), dim=1)
        size = len(self.features)
        if len(keys) > size:
            raise ValueError(
                f"A batch of {len(keys)} keys does not fit into a queue of {size}: raise `queue_size` to a multiple of "
                "the batch size, or lower `batch_size`."
            )
        places = (self.pointer + torch.arange(len(keys), device=keys.device)) % size
        self.features[places] = keys
        self.pointer.copy_((self.pointer + len(keys)) % size)
