"""Memory bank: a vector for each sample of the data set (instance discrimination: Wu et al., CVPR 2018)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monai_ssl.arguments import check_interval
from monai_ssl.losses.gather import gather_keys


class MemoryBank(nn.Module):
    r"""One vector of unit length for each sample, in buffers that a checkpoint holds; alike on all processes.

    :math:`v \leftarrow (m v + (1 - m) z) / \|m v + (1 - m) z\|`. What :meth:`hold` keeps back while losses are computed
    enters by :meth:`release`, after the optimizer step: a loss sees the entry of before, and validation leaves nothing
    behind. A sample that comes twice in a step counts once, with the mean of its vectors.

    Args:
        samples: N, the length of the data set; ``"index"`` of a batch names rows.
        dim: of a vector.
        momentum: m, in [0, 1]; 0 replaces.

    Raises:
        ValueError: when a number is outside its range.

    >>> bank = MemoryBank(samples=3, dim=2, momentum=0.0)
    >>> bank.hold(torch.tensor([1]), torch.tensor([[0.0, 2.0]]))
    >>> bank.release()
    >>> bank.features[1], bank.seen
    (tensor([0., 1.]), tensor([False,  True, False]))
    """

    features: Tensor
    seen: Tensor

    def __init__(self, samples: int, dim: int, momentum: float = 0.5) -> None:
        super().__init__()
        check_interval("[1, inf)", samples=samples, dim=dim)
        check_interval("[0, 1]", momentum=momentum)
        self.momentum = momentum
        self.register_buffer("features", F.normalize(torch.randn(samples, dim), dim=1))
        self.register_buffer("seen", torch.zeros(samples, dtype=torch.bool))
        self.held: list[tuple[Tensor, Tensor]] = []

    def __len__(self) -> int:
        return len(self.features)

    def hold(self, index: Tensor, vectors: Tensor) -> None:
        """Keep ``vectors`` (B, D) of the samples ``index`` (B,) until :meth:`release`; in training only."""
        if self.training:
            self.held.append((index, vectors.detach().float()))

    @torch.no_grad()
    def release(self) -> None:
        """Update the entries of all that was held back, on all processes."""
        for held_index, held_vectors in self.held:
            index, vectors = gather_keys(held_index), F.normalize(gather_keys(held_vectors), dim=1)
            same = (index[:, None] == index).float()
            z = F.normalize(same @ vectors, dim=1)
            self.features[index] = F.normalize(self.momentum * self.features[index] + (1 - self.momentum) * z, dim=1)
            self.seen[index] = True
        self.held.clear()


__all__ = ["MemoryBank"]
