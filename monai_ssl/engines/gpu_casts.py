"""What autocast computes in float32 on GPUs and not on CPUs, for a step that is counted here and trained there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

_NAMES = (
    *("layer_norm", "group_norm", "normalize", "norm", "softmax", "log_softmax", "softmin", "softplus"),
    *("exp", "log", "pow", "prod", "sum", "cumsum", "cumprod", "reciprocal", "rsqrt", "cosine_similarity", "cdist"),
    *("mse_loss", "l1_loss", "smooth_l1_loss", "cross_entropy", "nll_loss", "kl_div", "triplet_margin_loss"),
)
"""What networks are made of, among what autocast computes in float32 on CUDA according to torch's documentation."""
_FLOAT32 = {getattr(place, name) for name in _NAMES for place in (torch, F, Tensor) if hasattr(place, name)}


class GpuCasts(TorchFunctionMode):
    """Convert to float32 what autocast on a GPU would, and that on a CPU leaves in half precision.

    >>> x = torch.rand(2, 4, dtype=torch.bfloat16)
    >>> with GpuCasts():
    ...     F.layer_norm(x, (4,)).dtype, (x + 1).dtype
    (torch.float32, torch.bfloat16)
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in _FLOAT32:
            args, kwargs = tree_map_only(Tensor, _in_float32, (args, dict(kwargs or {})))
        return func(*args, **(kwargs or {}))


def _in_float32(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


__all__ = ["GpuCasts"]
