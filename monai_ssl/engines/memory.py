"""Memory of a training step, counted without computing it: tensors have shapes and no values (`FakeTensorMode`)."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    FakeCopyMode,
    FakeTensorMode,
    UnsupportedFakeTensorException,
)
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from monai_ssl.engines.gpu_casts import GpuCasts
from monai_ssl.engines.host_numbers import HostNumbers
from monai_ssl.engines.ssl_trainer import SSLTrainer
from monai_ssl.methods.base import Method

_DRAWN_STEPS = 8
"""So many steps are counted where a method draws what it computes, of which the dearest matters."""
_DRAWS = (torch.Generator, torch.distributions.Distribution)


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


def step_memory(trainer: SSLTrainer, windows: Mapping[Any, Any], *, amp: bool) -> int:
    """Return the most bytes that live in a training step: network, views, activations, gradients, optimizer state.

    Nothing is computed and nothing trained. What libraries take inside an operation (cuDNN's workspaces), what the
    allocator keeps and what the driver needs come on top; see :data:`RESERVE`.

    Args:
        trainer: its method, views, optimizers and accumulation, as before its first step.
        windows: as its loader yields them, on the CPU.
        amp: with autocast to bfloat16, and what a GPU then computes in float32.

    Raises:
        ValueError: when the method reads values back on the host, which tensors without values do not have.
    """
    held = _bytes_of(trainer.method.parameters(), trainer.method.buffers())
    # a transform of others, sample by sample, may need values
    transforms = trainer.views.transforms if trainer.views is not None else []
    if all(hasattr(transform, "batch") for transform in transforms):
        windows = tree_map_only(Tensor, lambda x: x.to("meta"), dict(windows))
    with torch.no_grad(), LiveBytes() as counted:
        batch = copy.deepcopy(trainer.views)(windows) if trainer.views is not None else windows
    given = _bytes_of(tree_leaves((windows, batch)))
    return held + max(_bytes_of(tree_leaves(windows)) + counted.peak, given + _of_step(trainer, batch, amp))


def _of_step(trainer: SSLTrainer, batch: Mapping[Any, Any], amp: bool) -> int:
    """Return the most bytes that live beside the network and the batch."""
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    # what draws numbers has values only
    kept = {id(v): v for m in trainer.method.modules() for v in vars(m).values() if isinstance(v, _DRAWS)}
    with FakeCopyMode(fake):
        method, optimizers = copy.deepcopy((trainer.method, trainer.optimizers), kept)
    with fake:
        inputs = tree_map_only(Tensor, lambda x: torch.empty_like(x, device="cpu"), dict(batch))
    try:
        with fake, HostNumbers() as numbers, LiveBytes() as counted:
            for step in method.train().steps:
                _fill_state(optimizers[step], keep_gradients=trainer.accumulation_steps > 1)
            for _ in range(_DRAWN_STEPS):
                for step in method.steps:
                    _losses(method, inputs, step, amp).backward()
                    optimizers[step].step()
                    if trainer.accumulation_steps == 1:
                        optimizers[step].zero_grad(set_to_none=True)
                if not numbers.drew:
                    break
            with torch.no_grad():
                method.after_step()
    except (DataDependentOutputException, UnsupportedFakeTensorException) as error:
        raise ValueError(f"The memory of {type(method).__name__} cannot be told without values ({error}).") from error
    return counted.peak


def _fill_state(optimizer: Optimizer, keep_gradients: bool) -> None:
    """Let an optimizer make what it keeps from its first step on."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    if not keep_gradients:
        optimizer.zero_grad(set_to_none=True)


def _losses(method: Method, batch: Mapping[str, Any], step: str, amp: bool) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16, enabled=amp), GpuCasts() if amp else nullcontext():
        return torch.stack(list(method(batch, step).values())).sum()


def _bytes_of(*groups: Iterable[Any]) -> int:
    tensors = [x for group in groups for x in group if isinstance(x, Tensor)]
    return sum({x.untyped_storage()._cdata: x.untyped_storage().nbytes() for x in tensors}.values())


RESERVE = 0.8
"""Share of a GPU's memory that a plan fills: the rest is for workspaces, fragments of the allocator and the driver."""

__all__ = ["RESERVE", "LiveBytes", "step_memory"]
