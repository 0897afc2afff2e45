"""Memory of a training step, counted without computing it: tensors have shapes and no values (`FakeTensorMode`)."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    FakeCopyMode,
    FakeTensorMode,
    UnsupportedFakeTensorException,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from monai_ssl.engines.ssl_trainer import SSLTrainer


class LiveBytes(TorchDispatchMode):
    """Count the bytes of all tensors that operations make and that still live, also those kept for the backward pass.

    Attributes:
        now: bytes that live.
        peak: most that ever lived.

    >>> with LiveBytes() as counted:
    ...     x = torch.ones(1000) + 1
    ...     del x
    >>> counted.now, counted.peak
    (0, 8000)
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._see(tensor.untyped_storage())
        return made

    def _see(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._end, key, size)

    def _end(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def step_memory(trainer: SSLTrainer, batch: Mapping[str, Any], *, amp: bool) -> int:
    """Return the most bytes that live in a training step: network, batch, activations, gradients, optimizer state.

    Nothing is computed and nothing trained. What libraries take inside an operation (cuDNN's workspaces), what the
    allocator keeps and what the driver needs come on top; see :data:`RESERVE`.

    Args:
        trainer: its method, optimizers and accumulation, as before its first step.
        batch: as its views return it, on the CPU.
        amp: with autocast to bfloat16.

    Raises:
        ValueError: when the method reads values back on the host, which tensors without values do not have.
    """
    held = _bytes_of(trainer.method) + sum(x.nbytes for x in batch.values() if isinstance(x, Tensor))
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    # a generator has values only
    kept = {id(v): v for m in trainer.method.modules() for v in vars(m).values() if isinstance(v, torch.Generator)}
    with FakeCopyMode(fake):
        method, optimizers = copy.deepcopy((trainer.method, trainer.optimizers), kept)
    inputs = {k: fake.from_tensor(x) if isinstance(x, Tensor) else x for k, x in batch.items()}
    try:
        with fake, LiveBytes() as counted:
            # the second time with what optimizers keep
            for step in 2 * method.train().steps:
                with torch.autocast("cpu", torch.bfloat16, enabled=amp):
                    loss = sum(method(inputs, step).values())
                assert isinstance(loss, Tensor)
                loss.backward()
                optimizers[step].step()
                if trainer.accumulation_steps == 1:
                    optimizers[step].zero_grad(set_to_none=True)
    except (DataDependentOutputException, UnsupportedFakeTensorException) as error:
        raise ValueError(f"The memory of {type(method).__name__} cannot be told without values ({error}).") from error
    return held + counted.peak


def _bytes_of(module: nn.Module) -> int:
    tensors = (*module.parameters(), *module.buffers())
    return sum({t.untyped_storage()._cdata: t.nbytes for t in tensors}.values())


RESERVE = 0.8
"""Share of a GPU's memory that a plan fills: the rest is for workspaces, fragments of the allocator and the driver."""

__all__ = ["RESERVE", "LiveBytes", "step_memory"]
