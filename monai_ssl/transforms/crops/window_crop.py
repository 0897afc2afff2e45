"""Random crop of one window, for methods that restore a single image (Models Genesis).

Zhou et al., "Models Genesis", Medical Image Analysis 67, 2021. https://doi.org/10.1016/j.media.2020.101840
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from monai.transforms import MapTransform, Randomizable
from torch import Tensor

from monai_ssl.arguments import check_interval
from monai_ssl.transforms.crops.background import BackgroundRule
from monai_ssl.transforms.crops.boxes import Box, start_range
from monai_ssl.transforms.crops.cut import read_window, resize, spatial_shape, with_channels
from monai_ssl.transforms.crops.placement import Margin, check_extents, check_margin, region_inside


class RandWindowCropd(Randomizable, MapTransform):
    """Cut one window, 2-D or 3-D, uniformly among the places inside the margin, and resize it if its size differs.

    A scan smaller than a size shortens that size to its own extent, so the aspect of the window changes when resized.
    Windows that the background rule rejects are drawn anew, size included. Only the windows themselves are read. The
    scan itself is not passed on.

    Args:
        key: the scan: has ``shape`` (C, *spatial), and slicing reads a window in [0, 1]; a tensor will do.
        out_size: voxels of the window.
        sizes: extents to cut windows with, in voxels, one drawn each time; ``None`` for ``out_size`` alone;
            ``"region"`` for all that the margin leaves.
        margin: voxels to stay away from the border: one number, or for each axis one number or a pair (before,
            after); ``"body"`` keeps to the scan's ``body_box`` where it has one. A size that does not fit inside the
            margins is centered between them. Models Genesis keeps (100, 100, 30) on chest CT.
        background: ``"paper"`` rejects a window with more than ``max_background_fraction`` of background;
            ``"reference"`` one with more than ``max_tissue_fraction`` of tissue, weighted as in the code of Models
            Genesis (3-D only), which on chest CT leaves windows full of lung; ``None`` rejects none.
        background_level: intensity below which a voxel is background; 0.425 is -150 HU in the window [-1000, 1000].
        max_background_fraction: see ``background``.
        max_tissue_fraction: see ``background``.
        max_retries: how often a rejected window is drawn anew; then the least bad one is taken.
        channels: repeat an image of one channel to so many; ``None`` leaves the channels as they are.
        name: key of the window.
        params_key: where to put what was cut: ``start`` and ``size`` (D,), ``fallback`` (whether the least bad window
            had to be taken).

    Returns:
        The sample without ``key``, with a float32 tensor (C, *out_size).

    Raises:
        ValueError: when sizes differ in their number of axes, a number is outside its range, or a scan has another
            number of axes, fewer than 8 voxels along one, or channels that cannot become ``channels``.

    >>> import torch
    >>> scan = torch.arange(40.0).reshape(1, 40, 1).expand(1, 40, 40)  # a value says where it was cut
    >>> out = RandWindowCropd("image", out_size=(8, 8), margin=5, params_key="params")({"image": scan})
    >>> out["view"].shape, bool(out["view"].min() == out["params"]["start"][0] >= 5)
    (torch.Size([1, 8, 8]), True)
    """

    def __init__(
        self,
        key: str,
        out_size: Sequence[int] = (64, 64, 32),
        sizes: Sequence[Sequence[int]] | Literal["region"] | None = None,
        *,
        margin: Margin = 0,
        background: str | None = None,
        background_level: float = 0.425,
        max_background_fraction: float = 0.85,
        max_tissue_fraction: float = 0.15,
        max_retries: int = 10,
        channels: int | None = None,
        name: str = "view",
        params_key: str | None = None,
    ) -> None:
        super().__init__((key,))
        self.dims = len(out_size)
        self.out_size = tuple(check_extents("out_size", [out_size], self.dims)[0].tolist())
        self.whole = sizes == "region"
        given = [out_size] if sizes is None or sizes == "region" else sizes
        self.sizes = check_extents("sizes", given, self.dims)
        self.margin = check_margin(margin, self.dims)
        if background == "reference" and self.dims != 3:
            raise ValueError('`background="reference"` looks along Z and needs 3-D sizes; use "paper" or None in 2-D.')
        self.background = BackgroundRule(background, background_level, max_background_fraction, max_tissue_fraction)
        check_interval("[0, inf)", max_retries=max_retries)
        self.max_retries = max_retries
        self.channels = channels
        self.name = name
        self.params_key = params_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        for key in self.key_iterator(out):
            scan = out.pop(key)
        box, window, fallback = self._accepted_window(scan)
        out[self.name] = with_channels(resize(window, self.out_size), self.channels)
        if self.params_key is not None:
            out[self.params_key] = {"start": box.start, "size": box.size, "fallback": fallback}
        return out

    def _accepted_window(self, scan: Any) -> tuple[Box, Tensor, bool]:
        shape = spatial_shape(scan, self.dims, type(self).__name__)
        region = region_inside(self.margin, scan, shape)
        least = np.inf
        for _ in range(self.max_retries + 1):
            size = np.minimum(region.size if self.whole else self.sizes[self.R.randint(len(self.sizes))], shape)
            low, high = start_range(size, region, shape)
            box = Box(self.R.randint(low, high + 1), size)
            window = read_window(scan, box)
            excess = self.background.excess(window)
            if excess < least:
                least, kept = excess, (box, window)
            if excess <= 0:
                break
        return *kept, least > 0
