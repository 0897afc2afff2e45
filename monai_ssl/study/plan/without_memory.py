"""Networks built on the ``meta`` device, without memory for their weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_DRAWS = (torch.Tensor.normal_, torch.Tensor.uniform_)
"""What initial weights are drawn with; on ``meta`` each goes through a decomposition in Python."""


@contextmanager
def without_memory() -> Iterator[None]:
    """Build what is inside on the ``meta`` device, networks that read ranges while they are built among it.

    >>> with without_memory():
    ...     rates = [rate.item() for rate in torch.linspace(0, 1, 3)]
    ...     layer = torch.nn.Linear(10**6, 10**6)
    >>> rates, layer.weight.device
    ([0.0, 0.5, 1.0], device(type='meta'))
    """
    with torch.device("meta"), _OfMeta():
        yield


class _OfMeta(TorchFunctionMode):
    """Draw no weights, and let ``torch.linspace`` have values.

    MONAI's Swin transformers take their rates of stochastic depth from it.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in _DRAWS and args[0].is_meta:
            return args[0]
        if func is torch.linspace:
            kwargs.setdefault("device", "cpu")
        return func(*args, **kwargs)


__all__ = ["without_memory"]
