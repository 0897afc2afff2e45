"""Numbers that a step draws or counts on the host, for a step that is otherwise counted without values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, unset_fake_temporarily
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

_DRAWN = {torch.rand, torch.randint, torch.randperm}
_MADE = {torch.arange, torch.full, torch.tensor, *_DRAWN}
_FEW = 4096
"""More numbers than this, and they are an image."""


class HostNumbers(TorchFunctionMode):
    """Compute for real what is made of a few numbers alone, inside of ``FakeTensorMode``.

    A method may draw the scale that it compares, a loss may list the axes that it sums over; Python then asks for
    values, which fake tensors do not have. Networks and images are fake and stay so.

    Attributes:
        drew: whether numbers were drawn, so that another step may need other memory.

    >>> from torch._subclasses.fake_tensor import FakeTensorMode
    >>> with FakeTensorMode(allow_non_fake_inputs=True) as fake, HostNumbers():
    ...     (2 * torch.arange(3)).tolist(), fake.from_tensor(torch.ones(2)).sum().shape
    ([0, 2, 4], torch.Size([]))
    """

    def __init__(self) -> None:
        super().__init__()
        self.drew = False

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        options = dict(kwargs or {})
        tensors = [x for x in tree_leaves((args, options)) if isinstance(x, Tensor)]
        if not tensors and func in _MADE:
            made: Tensor = func(*args, **options)
            if made.numel() > _FEW:
                return made
            self.drew |= func in _DRAWN
        elif not tensors or not all(map(_is_number, tensors)):
            return func(*args, **options)
        with unset_fake_temporarily():
            return func(*args, **options)


def _is_number(x: Tensor) -> bool:
    """Say whether a tensor has values, few ones, that no network learns."""
    return not isinstance(x, FakeTensor) and x.numel() <= _FEW and not x.requires_grad


__all__ = ["HostNumbers"]
