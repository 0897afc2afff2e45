"""Base crops, a grid that covers a scan, and target crops anywhere in it, with their overlaps (VoCo).

Wu, Zhuang, Chen, "VoCo: A Simple-yet-Effective Volume Contrastive Learning Framework for 3D Medical Image Analysis",
CVPR 2024, https://arxiv.org/abs/2402.17300.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from monai.transforms import MapTransform, Randomizable
from numpy.typing import NDArray
from torch import Tensor

from monai_ssl.arguments import check_interval
from monai_ssl.transforms.crops.boxes import Box, start_range
from monai_ssl.transforms.crops.cut import read_window, resize, spatial_shape, with_channels
from monai_ssl.transforms.crops.placement import Margin, check_extents, check_margin, region_inside


class RandBaseCropsd(Randomizable, MapTransform):
    """Cut a scan into a grid of equal base crops, and target crops of the same extent at random places in the grid.

    The grid fills the region that the margin leaves, up to fewer voxels than cells along each axis. All crops are read
    one by one and resized; nothing is kept.

    Args:
        key: the scan: has ``shape`` (C, *spatial), and slicing reads a window in [0, 1]; a tensor will do.
        out_size: voxels of each crop.
        grid: bases along each axis.
        num_targets: target crops.
        margin: see :class:`monai_ssl.transforms.RandWindowCropd`.
        channels: repeat an image of one channel to so many; ``None`` leaves the channels as they are.
        params_key: where to put what was cut: ``base_starts`` (N, D) and ``target_starts`` (T, D), ``size`` (D,).

    Returns:
        The sample without ``key``, with ``bases``, a list of N float32 tensors (C, *out_size) in row-major order of the
        grid, ``targets``, a list of T, and ``overlap`` (T, N): the share of each target that lies in each base. As the
        bases cover the grid, each target's sum to 1.

    Raises:
        ValueError: when a number is outside its range, there is one base only, or a scan has another number of axes.

    >>> import torch
    >>> out = RandBaseCropsd("image", out_size=(8, 8), grid=(3, 2))({"image": torch.rand(1, 30, 20)})
    >>> len(out["bases"]), len(out["targets"]), out["overlap"].sum(1).round(4)
    (6, 2, array([1., 1.], dtype=float32))
    """

    def __init__(
        self,
        key: str,
        out_size: Sequence[int],
        grid: Sequence[int] = (4, 4, 1),
        num_targets: int = 2,
        *,
        margin: Margin = 0,
        channels: int | None = None,
        params_key: str | None = None,
    ) -> None:
        super().__init__((key,))
        self.dims = len(out_size)
        self.out_size = tuple(check_extents("out_size", [out_size], self.dims)[0].tolist())
        self.grid = check_extents("grid", [grid], self.dims)[0]
        if self.grid.prod() < 2:
            raise ValueError(f"`grid` must have two bases at least, got {list(grid)}.")
        check_interval("[1, inf)", num_targets=num_targets)
        self.num_targets = num_targets
        self.margin = check_margin(margin, self.dims)
        self.channels = channels
        self.params_key = params_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        for key in self.key_iterator(out):
            scan = out.pop(key)
        shape = spatial_shape(scan, self.dims, type(self).__name__)
        bases, targets, size = self._draw(scan, shape)
        out["bases"] = [self._cut(scan, Box(start, size)) for start in bases]
        out["targets"] = [self._cut(scan, Box(start, size)) for start in targets]
        out["overlap"] = overlaps(targets, bases, size).astype(np.float32)
        if self.params_key is not None:
            out[self.params_key] = {"base_starts": bases, "target_starts": targets, "size": size}
        return out

    def _draw(self, scan: Any, shape: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the first voxels of bases (N, D) and of targets (T, D), and the extent (D,) of all."""
        region = region_inside(self.margin, scan, shape)
        size = np.maximum(np.minimum(region.size, shape) // self.grid, 1)
        low, high = start_range(size * self.grid, region, shape)
        first = self.R.randint(low, high + 1)
        cells = np.stack(np.unravel_index(np.arange(self.grid.prod()), self.grid), axis=1)
        targets = self.R.randint(0, size * (self.grid - 1) + 1, size=(self.num_targets, self.dims))
        return first + cells * size, first + targets, size

    def _cut(self, scan: Any, box: Box) -> Tensor:
        return with_channels(resize(read_window(scan, box), self.out_size), self.channels)


def overlaps(targets: NDArray[np.int64], bases: NDArray[np.int64], size: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the shares (T, N) of boxes of one ``size`` (D,) at ``targets`` (T, D) that lie in boxes at ``bases``."""
    sides = np.maximum(size - np.abs(targets[:, None] - bases), 0)
    return np.prod(sides, axis=2) / np.prod(size)


__all__ = ["RandBaseCropsd"]
