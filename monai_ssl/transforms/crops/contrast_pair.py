"""Two contrasts of a visit at one place: co-registered scans of one session, cut alike."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from monai.transforms import MapTransform, Randomizable

from monai_ssl.transforms.crops.boxes import Box, start_range
from monai_ssl.transforms.crops.cut import read_window, resize, spatial_shape
from monai_ssl.transforms.crops.placement import Margin, check_extents, check_margin, region_inside


class RandContrastPaird(Randomizable, MapTransform):
    """Cut the same place out of two scans of a visit, drawn without replacement, and resize both.

    The place is drawn in voxels of the visit's first scan, uniformly inside the margin; where another scan has other
    voxels, its box is the nearest one. A scan smaller than the window shortens it.

    Args:
        key: the visit: has ``shape`` (C, *spatial) of its first scan, ``scans``, of which slicing reads a window in
            [0, 1], and ``box``, see :class:`monai_ssl.data.Visit`.
        out_size: voxels of both windows; 2-D or 3-D.
        margin: see :class:`monai_ssl.transforms.RandWindowCropd`.
        names: keys of both windows.
        params_key: where to put what was cut: ``start`` and ``size`` (D,) in the first scan, ``scans`` (2,), their
            numbers in the visit.

    Returns:
        The sample without ``key``, with two float32 tensors (C, *out_size).

    Raises:
        ValueError: when a number is outside its range, or a scan has another number of axes.

    >>> import torch
    >>> from types import SimpleNamespace
    >>> t1 = torch.rand(1, 20, 24)
    >>> visit = SimpleNamespace(shape=t1.shape, scans=[t1, 1 - t1], box=lambda number, start, size: (start, size))
    >>> out = RandContrastPaird("image", (8, 8))({"image": visit})
    >>> torch.allclose(out["view1"], 1 - out["view2"])
    True
    """

    def __init__(
        self,
        key: str,
        out_size: Sequence[int],
        *,
        margin: Margin = 0,
        names: Sequence[str] = ("view1", "view2"),
        params_key: str | None = None,
    ) -> None:
        super().__init__((key,))
        self.dims = len(out_size)
        self.out_size = tuple(check_extents("out_size", [out_size], self.dims)[0].tolist())
        self.margin = check_margin(margin, self.dims)
        if len(names) != 2:
            raise ValueError(f"`names` must be the keys of two windows, got {list(names)}.")
        self.names, self.params_key = tuple(names), params_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        for key in self.key_iterator(out):
            visit = out.pop(key)
        shape = spatial_shape(visit, self.dims, type(self).__name__)
        size = np.minimum(self.out_size, shape)
        low, high = start_range(size, region_inside(self.margin, visit, shape), shape)
        start = self.R.randint(low, high + 1)
        chosen = self.R.permutation(len(visit.scans))[:2]
        for name, number in zip(self.names, chosen, strict=True):
            window = read_window(visit.scans[number], Box(*visit.box(int(number), start, size)))
            out[name] = resize(window, self.out_size)
        if self.params_key is not None:
            out[self.params_key] = {"start": start, "size": size, "scans": chosen}
        return out


__all__ = ["RandContrastPaird"]
