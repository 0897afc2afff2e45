"""Differentiable all-gather: the batch of all DistributedDataParallel processes for contrastive losses."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.length = len(x)
        return gather_keys(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        # each process has the loss of the whole batch; the mean that DDP takes over processes undoes this sum
        grad = grads[0].contiguous()
        dist.all_reduce(grad)
        start = dist.get_rank() * ctx.length
        return grad[start : start + ctx.length]


def gather(x: Tensor) -> Tensor:
    """Return the vectors of all processes, rank by rank, with gradients to those of this one.

    With a loss of the whole batch on every process, and the mean of gradients that distributed training takes, the
    gradients are those of one process with the whole batch. Without gradients (validation data, of which the processes
    may have different amounts) nothing is exchanged.

    Args:
        x: (B, D), with the same B on every process.

    Returns:
        (processes * B, D).
    """
    if not exchanging():
        return x
    gathered: Tensor = _Gather.apply(x)
    return gathered


def gather_keys(x: Tensor) -> Tensor:
    """Return the vectors (processes * B, D) of all processes, without gradients."""
    if not _several():
        return x.detach()
    parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, x.detach().contiguous())
    return torch.cat(parts)


def exchanging() -> bool:
    """Whether a loss sees the batch of all processes: there are several, and gradients are on."""
    return _several() and torch.is_grad_enabled()


def total(x: Tensor) -> Tensor:
    """Return the sum of ``x`` over all processes, without gradients; ``x`` may be overwritten."""
    if _several():
        dist.all_reduce(x)
    return x


def greatest(x: Tensor) -> Tensor:
    """Return the maximum of ``x`` over all processes, without gradients; ``x`` may be overwritten."""
    if _several():
        dist.all_reduce(x, dist.ReduceOp.MAX)
    return x


def share(x: Tensor) -> Tensor:
    """Return the rows of ``x`` that this process treats, of what all processes hold."""
    return x[dist.get_rank() :: dist.get_world_size()] if _several() else x


def _several() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
