"""Activation checkpointing (gradient checkpointing): less memory, about a third more time.

Chen, Xu, Zhang, Guestrin, "Training Deep Nets with Sublinear Memory Cost", 2016. https://arxiv.org/abs/1604.06174
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from monai_ssl.networks import DoubleConv, Encoder


def recompute_blocks(network: nn.Module) -> int:
    """Turn on activation checkpointing: blocks keep their input only, and compute the rest again in the backward pass.

    Names of parameters, state and results stay as they are.

    Blocks are those that an encoder names as its ``blocks``, and the convolutions of decoders.

    Returns:
        How many blocks do so.

    Raises:
        ValueError: when the network has none.
    """
    blocks = blocks_of(network)
    if not blocks:
        raise ValueError(
            f"`checkpoint_activations` found no block of convolutions in {type(network).__name__}: leave it out."
        )
    for block in blocks:
        # a partial is copied with its module by `deepcopy`, so that a momentum encoder runs its own weights
        block.forward = partial(_run, block)
    return len(blocks)


def blocks_of(network: nn.Module) -> list[nn.Module]:
    """Return the blocks that encoders name as such, and the convolutions of decoders; outer ones come first."""
    kinds = tuple({DoubleConv}.union(*(m.blocks for m in network.modules() if isinstance(m, Encoder))))
    return [module for module in network.modules() if isinstance(module, kinds)]


def _run(block: nn.Module, *inputs: Any) -> Any:
    forward = partial(type(block).forward, block)
    if not torch.is_grad_enabled():
        return forward(*inputs)
    modes = torch.overrides._get_current_function_mode_stack()
    return checkpoint(
        forward, *inputs, use_reentrant=False, context_fn=lambda: (contextlib.nullcontext(), _as_before(block, modes))
    )


@contextlib.contextmanager
def _as_before(block: nn.Module, modes: Sequence[contextlib.AbstractContextManager]) -> Iterator[None]:
    """Compute again under the modes of the first pass, such as that of sparse convolutions."""
    with contextlib.ExitStack() as stack:
        for mode in modes:
            stack.enter_context(mode)
        with _still(block):
            yield


@contextlib.contextmanager
def _still(block: nn.Module) -> Iterator[None]:
    """Keep the running statistics of batch norms, which the first pass has updated already."""
    norms = [
        m for m in block.modules() if isinstance(m, _BatchNorm) and m.training and m.num_batches_tracked is not None
    ]
    # switching the tracking off would change what the backward pass finds
    before: list[tuple[Any, Any, Any]] = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm, _, count in before:
        norm.momentum, norm.num_batches_tracked = 0.0, count.clone()
    try:
        yield
    finally:
        for norm, momentum, count in before:
            norm.momentum, norm.num_batches_tracked = momentum, count
