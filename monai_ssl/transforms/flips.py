"""Random flips, drawn for each sample and each axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.config import KeysCollection
from torch import Tensor

from monai_ssl.transforms.base import Params, RandBatchTransform, expand


class RandFlipBatchd(RandBatchTransform):
    """Flip each of some spatial axes with the same probability, independently.

    Parameters drawn: ``flip`` (B, spatial axes), boolean.

    Args:
        keys: images to flip alike.
        axes: spatial axes that may be flipped, counted from 0 (PCRL flips axis 0 only); ``None`` for all.
        axis_prob: probability to flip an axis.
        prob: probability to consider a sample at all.
        params_key: see :class:`RandBatchTransform`.
        allow_missing_keys: see :class:`RandBatchTransform`.
    """

    def __init__(
        self,
        keys: KeysCollection,
        axes: Sequence[int] | None = None,
        axis_prob: float = 0.5,
        *,
        prob: float = 1.0,
        params_key: str | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, prob, params_key, allow_missing_keys)
        if not 0.0 <= axis_prob <= 1.0:
            raise ValueError(f"`axis_prob` must be in [0, 1], got {axis_prob}.")
        self.axes = None if axes is None else list(axes)
        self.axis_prob = axis_prob

    def draw(self, shape: tuple[int, ...]) -> Params:
        dims = len(shape) - 1
        axes = range(dims) if self.axes is None else self.axes
        if not set(axes) <= set(range(dims)):
            raise ValueError(f"`axes` of an image with {dims} spatial axes must be among 0 to {dims - 1}, got {axes}.")
        allowed = np.isin(np.arange(dims), list(axes))
        return {"flip": allowed & (self.R.rand(dims) < self.axis_prob)}

    @staticmethod
    def kernel(x: Tensor, params: Params) -> Tensor:
        out = x
        for axis, flip in enumerate(params["flip"].unbind(1), start=2):
            out = torch.where(expand(flip, x.ndim), out.flip(axis), out)
        return out
