"""Momentum encoder (EMA, mean teacher) and ShuffleBN (He et al., "Momentum Contrast", CVPR 2020, eq. 2, Sec. 3.3)."""

from __future__ import annotations

import copy
from typing import Any, Generic, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


class MomentumNetwork(nn.Module, Generic[Network]):
    """Momentum encoder: a copy of a network whose parameters are their moving average (EMA), without gradients.

    Parameters and buffers are copied at the start. Running statistics of batch norm are the copy's own afterwards,
    from its own batches. Calling it runs the copy without gradients.

    Args:
        online: the network to follow, not registered here.
    """

    network: Network

    def __init__(self, online: Network) -> None:
        super().__init__()
        self.network = copy.deepcopy(online).requires_grad_(False)

    def forward(self, *args: Any) -> Any:
        with torch.no_grad():
            return self.network(*args)

    @torch.no_grad()
    def follow(self, online: Network, momentum: float) -> None:
        """Replace each parameter by ``momentum`` times itself plus the rest of the online one's present value."""
        for own, other in zip(self.network.parameters(), online.parameters(), strict=True):
            own.lerp_(other.detach().to(own.dtype), 1.0 - momentum)

    @torch.no_grad()
    def copy(self, online: Network, *, buffers_only: bool = False) -> None:
        """Take over the present parameters and buffers; buffers alone are the running statistics of batch norm."""
        if not buffers_only:
            self.follow(online, 0.0)
        for own, other in zip(self.network.buffers(), online.buffers(), strict=True):
            own.copy_(other)


def shuffle_batch(x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """ShuffleBN: deal the samples of all processes to each other, so that batch norm does not betray pairs.

    Args:
        x: (B, ...) of this process.
        generator: in the same state on all processes.

    Returns:
        (B, ...) of this process after dealing, and the permutation for :func:`unshuffle_batch`; with one process
        batch norm does not see the order, and ``x`` comes back as it is.
    """
    count, rank = _world()
    if count == 1:
        return x, torch.arange(len(x), device=x.device)
    order = torch.randperm(count * len(x), generator=generator).to(x.device)
    return _all(x)[order].chunk(count)[rank], order


def unshuffle_batch(x: Tensor, order: Tensor) -> Tensor:
    """Undo :func:`shuffle_batch` for what was computed (B, ...), without gradients."""
    count, rank = _world()
    if count == 1:
        return x
    return _all(x)[order.argsort()].chunk(count)[rank]


def _world() -> tuple[int, int]:
    if not (dist.is_available() and dist.is_initialized()):
        return 1, 0
    return dist.get_world_size(), dist.get_rank()


def _all(x: Tensor) -> Tensor:
    parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, x.detach().contiguous())
    return torch.cat(parts)
