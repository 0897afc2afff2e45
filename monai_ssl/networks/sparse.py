"""Sparse convolution by masking: a dense convolutional encoder that sees visible voxels only (SparK, S3D).

Tian et al., "Designing BERT for Convolutional Networks: Sparse and Hierarchical Masked Modeling", ICLR 2023,
https://arxiv.org/abs/2301.03580.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from monai_ssl.networks.encoder import Encoder

_MASKED = (F.conv2d, F.conv3d, F.avg_pool2d, F.avg_pool3d)
_OTHER_NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)
_REFUSED = (F.batch_norm, F.group_norm, F.layer_norm, torch.batch_norm)


def check_norms(encoder: nn.Module) -> None:
    """Refuse an encoder whose norms count masked positions, before any image is read.

    Raises:
        ValueError: when it has another norm than instance norm.

    >>> check_norms(nn.BatchNorm3d(8))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: Sparse convolutions know instance norm only, but the encoder has BatchNorm3d: build it with ...
    """
    for module in encoder.modules():
        if isinstance(module, _OTHER_NORMS):
            raise _other_norm(type(module).__name__)


def _other_norm(name: str) -> ValueError:
    return ValueError(
        f"Sparse convolutions know instance norm only, but the encoder has {name}: build it with "
        '`norm="instance"`, or take `ResidualEncoder`.'
    )


class Sparse(TorchFunctionMode):
    """While active, convolutions give 0 where nothing is visible, and instance norm counts visible positions only.

    A context manager, so that the network stays the dense one, with its names and shapes, and nothing is left behind;
    activation checkpointing computes blocks again under it.

    Args:
        visible: (B, 1, *spatial), 1 where visible and 0 where masked.
        strides: of the maps that occur, powers of 2. A position of a coarse map is active when any voxel below it is
            visible, also where it is larger than the masked blocks.

    Raises:
        ValueError: from the network, when it has another norm than instance norm, or a map of another size.

    >>> x, visible = torch.rand(1, 1, 4, 4), torch.tensor([[1.0, 1.0, 0.0, 0.0]]).expand(1, 1, 4, 4)
    >>> with Sparse(visible, strides=(1,)):
    ...     out = F.conv2d(x * visible, torch.ones(1, 1, 3, 3), padding=1)
    >>> bool((out[..., 2:] == 0).all())
    True
    """

    def __init__(self, visible: Tensor, strides: Sequence[int]) -> None:
        super().__init__()
        self.active: dict[tuple[int, ...], Tensor] = {}
        pool = F.max_pool3d if visible.ndim == 5 else F.max_pool2d
        for stride in strides:
            mask = visible.float() if stride == 1 else pool(visible.float(), stride)
            self.active[tuple(mask.shape[2:])] = mask

    def at(self, x: Tensor) -> Tensor:
        """Return which positions (B, 1, *spatial) of a map (B, C, *spatial) are active."""
        mask = self.active.get(tuple(x.shape[2:]))
        if mask is None:
            told = ", ".join(map(str, self.active))
            raise ValueError(
                f"A map of {tuple(x.shape[2:])} occurs, but the encoder has strides for {told} only: sparse "
                "convolutions need an encoder whose maps are all told by `strides`."
            )
        return mask

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is F.instance_norm:
            return self._instance_norm(*args, **kwargs)
        if func in _REFUSED:
            raise _other_norm(func.__name__)
        out = func(*args, **kwargs)
        return out * self.at(out).to(out.dtype) if func in _MASKED else out

    def _instance_norm(
        self,
        x: Tensor,
        running_mean: Tensor | None = None,
        running_var: Tensor | None = None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        use_input_stats: bool = True,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        del running_mean, running_var, use_input_stats, momentum
        axes, mask, values = tuple(range(2, x.ndim)), self.at(x), x.float()
        count = mask.sum(axes, keepdim=True).clamp_min(1.0)
        mean = (values * mask).sum(axes, keepdim=True) / count
        centered = (values - mean) * mask
        variance = centered.square().sum(axes, keepdim=True) / count
        out = centered * (variance + eps).rsqrt()
        if weight is not None and bias is not None:
            shape = (1, -1, *[1] * (x.ndim - 2))
            out = out * weight.float().reshape(shape) + bias.float().reshape(shape) * mask
        return out.to(x.dtype)


def sparse_features(encoder: Encoder, x: Tensor, visible: Tensor | None) -> tuple[list[Tensor], list[Tensor]]:
    """Return the encoder's maps of what is visible, and which of their positions (B, 1, *spatial) are active.

    Nothing that is masked is read: the image is masked before the first convolution, too. Maps are exactly 0 where they
    are not active. With ``visible=None`` the encoder runs as it is.

    Args:
        encoder: with instance norm.
        x: images (B, C, *spatial).
        visible: (B, 1, *spatial), 1 where visible and 0 where masked.
    """
    if visible is None:
        features = encoder(x)
        return features, [torch.ones_like(f[:, :1]) for f in features]
    mode = Sparse(visible, sorted({1, *encoder.strides}))
    x = torch.where(visible > 0, x, 0.0)
    with mode:
        features = encoder(x)
    return features, [mode.at(f) for f in features]


__all__ = ["Sparse", "check_norms", "sparse_features"]
