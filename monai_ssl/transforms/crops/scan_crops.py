"""Many crops of one scan, each with two views of it, for contrast within a scan (CT-FM).

Pai et al., "Vision Foundation Models for Computed Tomography", 2025, https://arxiv.org/abs/2501.09001.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from monai.transforms import MapTransform, Randomizable
from torch import Tensor

from monai_ssl.arguments import check_interval, check_range
from monai_ssl.transforms.crops.boxes import Box, start_range
from monai_ssl.transforms.crops.cut import read_window, resize, spatial_shape, with_channels
from monai_ssl.transforms.crops.placement import Margin, check_extents, check_margin, region_inside


class RandScanCropsd(Randomizable, MapTransform):
    """Cut several windows of one scan, and two random resized crops of each, 2-D or 3-D.

    Windows lie uniformly inside the margin and may overlap. A scan smaller than a window shortens it.

    Args:
        key: the scan: has ``shape`` (C, *spatial), and slicing reads a window in [0, 1]; a tensor will do.
        out_size: voxels of a window, and of a view.
        number: windows of a scan, at least 2.
        scale: least and largest share of its window that a view covers, in (0, 1].
        margin: see :class:`monai_ssl.transforms.RandWindowCropd`.
        channels: repeat an image of one channel to so many; ``None`` leaves the channels as they are.
        names: keys of the two lists of views.
        params_key: where to put what was cut: ``start`` and ``size`` (number, D) of the windows, ``view_start`` and
            ``view_size`` (number, 2, D) of the views, from the scan's first voxel.

    Returns:
        The sample without ``key``, with two lists of float32 tensors (C, *out_size): entry i of both shows window i.

    Raises:
        ValueError: when a number is outside its range, or a scan does not fit.

    >>> import torch
    >>> out = RandScanCropsd("image", out_size=(8, 8, 8), number=3)({"image": torch.rand(1, 20, 20, 20)})
    >>> len(out["view1"]), len(out["view2"]), out["view1"][0].shape
    (3, 3, torch.Size([1, 8, 8, 8]))
    """

    def __init__(
        self,
        key: str,
        out_size: Sequence[int],
        number: int = 15,
        scale: Sequence[float] = (0.33, 1.0),
        *,
        margin: Margin = 0,
        channels: int | None = None,
        names: Sequence[str] = ("view1", "view2"),
        params_key: str | None = None,
    ) -> None:
        super().__init__((key,))
        self.dims = len(out_size)
        self.out_size = tuple(check_extents("out_size", [out_size], self.dims)[0].tolist())
        check_interval("[2, inf)", number=number)
        self.number = number
        self.scale = check_range("scale", scale, "(0, 1]")
        self.margin = check_margin(margin, self.dims)
        self.channels = channels
        if len(names) != 2:
            raise ValueError(f"`names` must be the keys of two lists of views, got {list(names)}.")
        self.names = tuple(names)
        self.params_key = params_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        for key in self.key_iterator(out):
            scan = out.pop(key)
        shape = spatial_shape(scan, self.dims, type(self).__name__)
        size = np.minimum(self.out_size, shape)
        low, high = start_range(size, region_inside(self.margin, scan, shape), shape)
        windows = [Box(self.R.randint(low, high + 1), size) for _ in range(self.number)]
        boxes = [[self._inside(window) for _ in self.names] for window in windows]
        pairs = [self._cut(scan, window, pair) for window, pair in zip(windows, boxes, strict=True)]
        out.update(zip(self.names, map(list, zip(*pairs, strict=True)), strict=True))
        if self.params_key is not None:
            out[self.params_key] = {
                "start": np.stack([window.start for window in windows]),
                "size": np.stack([window.size for window in windows]),
                "view_start": np.stack([[box.start for box in pair] for pair in boxes]),
                "view_size": np.stack([[box.size for box in pair] for pair in boxes]),
            }
        return out

    def _inside(self, window: Box) -> Box:
        share = self.R.uniform(*self.scale) ** (1 / self.dims)
        size = np.maximum(np.rint(share * window.size).astype(np.int64), 1)
        return Box(self.R.randint(window.start, window.stop - size + 1), size)

    def _cut(self, scan: Any, window: Box, boxes: Sequence[Box]) -> list[Tensor]:
        whole = read_window(scan, window)
        views = (read_window(whole, Box(box.start - window.start, box.size)) for box in boxes)
        return [with_channels(resize(view, self.out_size), self.channels) for view in views]


__all__ = ["RandScanCropsd"]
