"""Parameters that several processes share, each with a part of them (FSDP's DTensor): gather them, or see the own part.

Zhao et al., "PyTorch FSDP: Experiences on Scaling Fully Sharded Data Parallel", 2023. https://arxiv.org/abs/2304.11277
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor


def whole_state(module: nn.Module) -> dict[str, Tensor]:
    """Return the state of a module, gathered."""
    return gathered(module.state_dict())


def gathered(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Gather what is sharded, one after the other, on the CPU of each process, in place; all must ask for the same."""
    for name, tensor in state.items():
        if isinstance(tensor, DTensor):
            state[name] = tensor.full_tensor().cpu()
    return state


def own_part(tensor: Tensor) -> Tensor:
    """Return the part of a sharded tensor that this process holds, another tensor as it is."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def sharded_like(tensor: Tensor, target: Tensor) -> Tensor:
    """Return ``tensor``, which all processes have, sharded as ``target`` is."""
    if not isinstance(target, DTensor) or isinstance(tensor, DTensor):
        return tensor
    device = target.to_local().device
    return distribute_tensor(tensor.to(device), target.device_mesh, target.placements, src_data_rank=None)


__all__ = ["gathered", "own_part", "sharded_like", "whole_state"]
