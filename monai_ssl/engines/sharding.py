"""Fully sharded data parallel (FSDP2): each process keeps a part of parameters, gradients and optimizer state.

Zhao et al., "PyTorch FSDP: Experiences on Scaling Fully Sharded Data Parallel", 2023. https://arxiv.org/abs/2304.11277
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.distributed import broadcast, get_world_size
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from monai_ssl.engines.recomputation import blocks_of
from monai_ssl.methods.base import Method

_PASSES = ("representation", "metrics", "panels")
"""What of a method runs its networks, beside ``forward``."""


def check_shardable(method: Method, *, compile: bool, scaler: bool) -> None:
    """Check that a method can be sharded.

    Raises:
        ValueError: saying what stands against it.
    """
    name = type(method).__name__
    reasons = {
        "`compile` was not tried with it": compile,
        "float16 scales gradients, which needs all of them: take `amp` off, or a device with bfloat16": scaler,
        f"{name} trains in turn {' and '.join(method.steps)}": len(method.steps) > 1,
        f"{name} has parameters that are a single number": any(p.ndim == 0 for p in method.parameters()),
        f"{name} has batch norm, whose statistics are not sharded": _has(method, _BatchNorm),
        f"{type(method.encoder).__name__} names no `blocks`": not method.encoder.blocks,
    }
    if found := [reason for reason, holds in reasons.items() if holds]:
        raise ValueError(
            f"`sharded` cannot be: {'; '.join(found)}. Leave it out: each process then holds the whole network "
            "(DistributedDataParallel). It is meant for transformers, such as in `mae_vit`, `simmim` and `dinov2`."
        )


def shard(method: Method, optimizers: Mapping[str, Optimizer], device: torch.device) -> DeviceMesh:
    """Give each process its part of the method, and optimizers that part of what they train.

    Outside of a pass each parameter is a ``DTensor``, sharded along its first axis; within one, those of a block are
    gathered when it runs. The parameters of the first process count.

    Args:
        method: as :func:`check_shardable` allows it, on ``device``.
        optimizers: before their first step.
        device: of this process.

    Returns:
        The processes that share it.
    """
    before = list(method.parameters())
    for tensor in (*before, *method.buffers()):
        broadcast(tensor.detach(), 0)
    mesh = DeviceMesh(device.type, range(get_world_size()))
    for block in reversed(blocks_of(method)):
        fully_shard(block, mesh=mesh)
    # resharded as blocks are: whoever reads weights between two steps finds shards, the ones that the optimizer holds
    fully_shard(method, mesh=mesh, reshard_after_forward=True)
    for name in _PASSES:
        register_fsdp_forward_method(method, name)
    shards = {id(old): new for old, new in zip(before, method.parameters(), strict=True)}
    for optimizer in optimizers.values():
        for group in optimizer.param_groups:
            group["params"] = [shards[id(parameter)] for parameter in group["params"]]
    return mesh


def _has(method: nn.Module, kind: type[nn.Module]) -> bool:
    return any(isinstance(module, kind) for module in method.modules())


__all__ = ["check_shardable", "shard"]
