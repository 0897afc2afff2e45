"""Context manager for evaluation inside training: eval mode, no gradients, RNG and mode restored afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from monai_ssl.methods.base import Method
from monai_ssl.networks.modes import evaluating

if TYPE_CHECKING:
    from monai_ssl.engines import SSLTrainer


@contextmanager
def preserving_state(trainer: SSLTrainer) -> Iterator[Method]:
    """Give the bare method in evaluation mode, without gradients and in the trainer's precision.

    Afterwards the mode of every module, all buffers, the generators of the method and torch's global ones are as they
    were, so that training goes on as if nobody had looked.
    """
    method = trainer.method
    device = torch.device(trainer.state.device)
    buffers = [(buffer, buffer.clone()) for buffer in method.buffers()]
    generators = [(m.generator, m.generator.get_state()) for m in method.modules() if isinstance(m, Method)]
    forked: list[Any] = [device] if device.type == "cuda" else []
    try:
        with (
            evaluating(method),
            torch.random.fork_rng(forked),
            torch.no_grad(),
            torch.autocast(device.type, trainer.dtype, enabled=trainer.amp),
        ):
            yield method
    finally:
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        for generator, state in generators:
            generator.set_state(state)


__all__ = ["preserving_state"]
