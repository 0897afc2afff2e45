"""Volume fusion: mix two images by boxes of discrete coefficients, which a segmentation network then has to find.

Wang et al., "MIS-FM: 3D Medical Image Segmentation using Foundation Models Pretrained on a Large-Scale Unannotated
Dataset", 2023, https://arxiv.org/abs/2306.16925.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from monai_ssl.arguments import check_interval, check_range
from monai_ssl.transforms.base import Params, expand
from monai_ssl.transforms.puzzles.task import RandTask


class RandVolumeFusiond(RandTask):
    r"""Fuse each image of a batch, the foreground f, with another, the background b: :math:`\alpha f + (1-\alpha) b`.

    The map :math:`\alpha` is 0, and k / K in boxes of levels k, drawn from 0 to K, that are painted one over the other.

    Args:
        key: images of a batch, or a list of such of one sample; at least two.
        levels: K.
        boxes: range of their number, both ends included.
        least: shortest side of a box in voxels.
        largest: longest side as a share of the image's.
        name: key of the levels k, integers (*spatial).
        params_key: where to put what was drawn: ``start`` and ``size`` (B, N, D), a size of 0 for boxes that are not
            there, and ``level`` (B, N).

    Raises:
        ValueError: when a number is out of range, or there is a single image, which has none to be fused with.

    >>> x = torch.stack([torch.zeros(1, 16, 16), torch.ones(1, 16, 16)])
    >>> out = RandVolumeFusiond("view", levels=4, least=4).batch({"view": x})
    >>> torch.equal(out["view"][1, 0], out["levels"][1] / 4)  # ones over zeros
    True
    """

    def __init__(
        self,
        key: str,
        levels: int = 4,
        *,
        boxes: Sequence[int] = (10, 39),
        least: int = 8,
        largest: float = 0.625,
        name: str = "levels",
        params_key: str | None = None,
    ) -> None:
        super().__init__(key, params_key)
        check_interval("[1, inf)", levels=levels, least=least)
        check_interval("(0, 1]", largest=largest)
        check_range("boxes", boxes, "[1, inf)")
        self.levels, self.boxes, self.least, self.largest = levels, tuple(boxes), least, largest
        self.name = name
        self.several = (key, name)

    def draw(self, shape: tuple[int, ...]) -> Params:
        few, many = self.boxes
        spatial = np.array(shape[1:])
        longest = np.maximum((self.largest * spatial).astype(np.int64), 1)
        size = self.R.randint(np.minimum(self.least, longest), longest + 1, size=(many, len(spatial)))
        start = self.R.randint(0, spatial - size + 1)
        there = np.arange(many) < self.R.randint(few, many + 1)
        level = self.R.randint(0, self.levels + 1, size=many)
        return {"start": start, "size": size * there[:, None], "level": level}

    def kernel(self, x: Tensor, params: Params) -> dict[str, Tensor]:
        if len(x) < 2:
            raise ValueError(f"{type(self).__name__} fuses images with each other and needs two at least.")
        painted = self._painted(x, {name: v.to(x.device, non_blocking=True) for name, v in params.items()})
        alpha = painted.unsqueeze(1).to(x.dtype) / self.levels
        return {self.key: alpha * x + (1 - alpha) * x.roll(1, 0), self.name: painted}

    def _painted(self, x: Tensor, params: Params) -> Tensor:
        """Return the levels (B, *spatial): the last box that holds a voxel decides."""
        spatial = x.shape[2:]
        painted = torch.zeros((len(x), *spatial), dtype=torch.int64, device=x.device)
        for start, size, level in zip(*(params[name].unbind(1) for name in ("start", "size", "level")), strict=True):
            inside = torch.ones((), dtype=torch.bool, device=x.device)
            for axis, side in enumerate(spatial):
                voxel = torch.arange(side, device=x.device)
                first = start[:, axis, None]
                along = (voxel >= first) & (voxel < first + size[:, axis, None])
                inside = inside & along.reshape(len(x), *[side if a == axis else 1 for a in range(len(spatial))])
            painted = torch.where(inside, expand(level, painted.ndim), painted)
        return painted


__all__ = ["RandVolumeFusiond"]
