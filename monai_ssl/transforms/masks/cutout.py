"""Cutout: random holes of a fixed size.

DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017.
https://arxiv.org/abs/1708.04552
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.config import KeysCollection
from torch import Tensor

from monai_ssl.arguments import check_interval, per_axis
from monai_ssl.transforms.base import Params, RandBatchTransform, expand
from monai_ssl.transforms.masks.box_mask import box_mask


class RandCutoutd(RandBatchTransform):
    """Cutout: fill holes of a fixed size; their centers lie anywhere, so the border may cut them off.

    Parameters drawn: ``start`` and ``size`` (B, num_holes, spatial axes) in voxels, and ``fill`` (B,).

    Args:
        keys: images that get the same holes.
        size: side of a hole in voxels; one number for all axes or one for each.
        num_holes: number of holes; they may overlap.
        prob: probability to treat a sample at all.
        fill: value inside; 0 is the mean of an image that was normalized before.
        params_key: see :class:`RandBatchTransform`.
        allow_missing_keys: see :class:`RandBatchTransform`.

    >>> import torch
    >>> out = RandCutoutd("image", size=4, num_holes=1)({"image": torch.ones(1, 16, 16)})["image"]
    >>> 4 <= (out == 0).sum() <= 16  # the border may cut a part of the 4 x 4 hole off
    tensor(True)
    """

    def __init__(
        self,
        keys: KeysCollection,
        size: int | Sequence[int] = 32,
        num_holes: int = 3,
        *,
        prob: float = 1.0,
        fill: float = 0.0,
        params_key: str | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, prob, params_key, allow_missing_keys)
        check_interval("[1, inf)", size=size)
        check_interval("[0, inf)", num_holes=num_holes)
        self.size = size
        self.num_holes = num_holes
        self.fill = fill

    def draw(self, shape: tuple[int, ...]) -> Params:
        spatial = shape[1:]
        size = per_axis("size", self.size, len(spatial)).astype(np.int64)
        center = self.R.randint(0, spatial, size=(self.num_holes, len(spatial)))
        return {"start": center - size // 2, "size": np.broadcast_to(size, center.shape), "fill": float(self.fill)}

    @staticmethod
    def kernel(x: Tensor, params: Params) -> Tensor:
        fill = expand(params["fill"], x.ndim).to(x.dtype)
        return torch.where(box_mask(params["start"], params["size"], x.shape[2:]), fill, x)
