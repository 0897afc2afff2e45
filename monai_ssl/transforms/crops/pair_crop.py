"""Pair of overlapping crops with a least IoU, and local crops from the box around both (PCRL).

Zhou et al., "Preservational Learning Improves Self-supervised Medical Image Models by Reconstructing Diverse
Contexts", ICCV 2021, https://arxiv.org/abs/2109.04379 (the pair), and "A Unified Visual Information Preservation
Framework for Self-supervised Pre-training in Medical Image Analysis", TPAMI 2023, https://arxiv.org/abs/2301.00772
(the background rule and the small crops). Code: https://github.com/RL4M/PCRLv2.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from monai.transforms import MapTransform, Randomizable
from torch import Tensor

from monai_ssl.arguments import check_choice, check_interval
from monai_ssl.transforms.crops.background import BackgroundRule
from monai_ssl.transforms.crops.boxes import (
    Box,
    bounding_box,
    first_overlapping,
    iou,
    overlapping_sizes,
    overlapping_starts,
    start_range,
)
from monai_ssl.transforms.crops.cut import read_window, resize, spatial_shape
from monai_ssl.transforms.crops.placement import Margin, check_extents, check_margin, region_inside

_TRIES = 64
# pairs drawn at once, of which a few percent overlap enough
_PAIRS = 256
# voxels around the box of both views in which the authors' code starts small crops
_BESIDE = 3
# one read of the box around both views costs less than two reads unless much of it belongs to neither
_JOINT_READ = 1.5


class RandIoUPairCropd(Randomizable, MapTransform):
    """Cut two overlapping views of random size and small crops from the box around both, all resized.

    The size of either view is drawn uniformly and independently among the pairs of sizes that can reach the overlap.
    With the default sizes and threshold these are (64, 64, 32) with itself and any two of the others, 10 ordered
    pairs: 10 % of the views are (64, 64, 32), 30 % each of the others. (The authors' code redraws sizes and places
    until they overlap, which leaves 1 to 2 % for the smallest size.) The first view is placed uniformly, the second
    uniformly among the places that overlap enough. The overlap holds always: nothing is drawn without bound. Pairs that
    the background rule rejects are drawn anew, sizes included, so scans with much air yield fewer large views.

    A scan smaller than a size shortens that size to its own extent, so the aspect of that view changes when resized.
    Only the windows needed are read. The scan itself is not passed on.

    Args:
        key: the scan: has ``shape`` (C, *spatial), and slicing reads a window in [0, 1]; a tensor will do.
        out_size: voxels of both views.
        sizes: extents to cut views with, in voxels; 2-D or 3-D.
        iou_threshold: least intersection over union of the two views (exclusive), in [0, 1).
        same_size: give both views of a pair the same size.
        margin: voxels to stay away from the border: one number, or for each axis one number or a pair (before,
            after); ``"body"`` keeps to the scan's ``body_box`` where it has one. A size that does not fit inside the
            margins is centered between them.
        background: ``"paper"`` rejects a view with more than ``max_background_fraction`` of background;
            ``"reference"`` one with more than ``max_tissue_fraction`` of tissue, weighted as in the authors' code
            (3-D only; that code compares a count on the resized crop with the size before resizing, so that its
            ceiling grows with the crop to no ceiling at all; here the fraction means what it says); ``None`` rejects
            none. Note that aerated lung is background: "paper" prefers the mediastinum and the chest wall,
            "reference" prefers air.
        background_level: intensity below which a voxel is background; 0.425 is -150 HU in the window [-1000, 1000].
        max_background_fraction: see ``background``.
        max_tissue_fraction: see ``background``.
        max_retries: how often a rejected pair is drawn anew; then the least bad one is taken.
        drawn: ``"fitting"``, as above, or ``"rejection"`` as in the authors' code: sizes and places of both views are
            drawn anew until they overlap enough.
        num_locals: small crops; 0 for none.
        local_sizes: extents to cut small crops with, in voxels, shortened to the box around both views.
        local_out_size: voxels of the small crops.
        locals_from: ``"views"`` cuts them from the box around both views (sub-crop), ``"scan"`` from anywhere inside
            the margin (multi-crop, row 5 of table 3 of the PCRLv2 paper); ``"corners"`` as the authors' code does: only
            their first corner lies in that box, widened by three voxels, and the border of the scan cuts them off.
        names: keys of the first view, the second view, the list of small crops.
        params_key: where to put what was cut: ``starts`` and ``sizes`` (2, D), ``iou``, ``fallback`` (whether the
            least bad pair had to be taken), ``local_starts`` and ``local_sizes`` (num_locals, D).

    Returns:
        The sample without ``key``, with two float32 tensors (C, *out_size) and a list of float32 tensors
        (C, *local_out_size).

    Raises:
        ValueError: when sizes differ in their number of axes, a number is outside its range, or a scan has another
            number of axes or fewer than 8 voxels along one.

    >>> import torch
    >>> small = {"local_sizes": [[8, 8]], "local_out_size": (8, 8)}
    >>> crop = RandIoUPairCropd("image", (16, 16), [[16, 16], [24, 24]], **small, params_key="params")
    >>> out = crop({"image": torch.rand(1, 64, 64)})
    >>> out["view1"].shape, len(out["locals"]), out["params"]["iou"] > 0.3
    (torch.Size([1, 16, 16]), 6, True)
    """

    def __init__(
        self,
        key: str,
        out_size: Sequence[int] = (64, 64, 32),
        sizes: Sequence[Sequence[int]] = ((64, 64, 32), (96, 96, 64), (96, 96, 96), (112, 112, 64)),
        iou_threshold: float = 0.3,
        *,
        same_size: bool = False,
        margin: Margin = 0,
        background: str | None = "paper",
        background_level: float = 0.425,
        max_background_fraction: float = 0.85,
        max_tissue_fraction: float = 0.15,
        max_retries: int = 10,
        drawn: str = "fitting",
        num_locals: int = 6,
        local_sizes: Sequence[Sequence[int]] = ((8, 8, 8), (16, 16, 16), (32, 32, 16), (32, 32, 32)),
        local_out_size: Sequence[int] = (16, 16, 16),
        locals_from: str = "views",
        names: Sequence[str] = ("view1", "view2", "locals"),
        params_key: str | None = None,
    ) -> None:
        super().__init__((key,))
        self.key = key
        self.dims = len(out_size)
        self.out_size = tuple(check_extents("out_size", [out_size], self.dims)[0].tolist())
        self.sizes = check_extents("sizes", sizes, self.dims)
        check_interval("[0, 1)", iou_threshold=iou_threshold)
        self.iou_threshold = iou_threshold
        self.same_size = same_size
        self.margin = check_margin(margin, self.dims)
        if background == "reference" and self.dims != 3:
            raise ValueError('`background="reference"` looks along Z and needs 3-D sizes; use "paper" or None in 2-D.')
        self.background = BackgroundRule(background, background_level, max_background_fraction, max_tissue_fraction)
        check_interval("[0, inf)", max_retries=max_retries, num_locals=num_locals)
        self.max_retries = max_retries
        check_choice(("fitting", "rejection"), drawn=drawn)
        self.drawn = drawn
        check_choice(("views", "scan", "corners"), locals_from=locals_from)
        self.locals_from = locals_from
        self.num_locals = num_locals
        if num_locals:
            self.local_sizes = check_extents("local_sizes", local_sizes, self.dims)
            self.local_out_size = tuple(check_extents("local_out_size", [local_out_size], self.dims)[0].tolist())
        if len(names) != 3:
            raise ValueError(f"`names` must name the two views and the list of small crops, got {list(names)}.")
        self.names = tuple(names)
        self.params_key = params_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        for key in self.key_iterator(out):
            scan = out.pop(key)
        pair, views, read, fallback = self._accepted_pair(scan)
        shape = np.array(scan.shape[1:])
        if self.locals_from != "views":
            read = partial(read_window, scan)
        if self.locals_from == "corners":
            small = self._draw_corners(bounding_box(*pair), shape)
        else:
            small = self._draw_locals(self._region(scan, shape) if self.locals_from == "scan" else bounding_box(*pair))
        out.update(zip(self.names, (resize(view, self.out_size) for view in views), strict=False))
        if self.num_locals:
            out[self.names[2]] = [resize(read(box), self.local_out_size) for box in small]
        if self.params_key is not None:
            out[self.params_key] = _report(pair, small, fallback)
        return out

    def _accepted_pair(self, scan: Any) -> tuple[tuple[Box, Box], list[Tensor], Callable[[Box], Tensor], bool]:
        shape = spatial_shape(scan, self.dims, type(self).__name__)
        region = self._region(scan, shape)
        least = np.inf
        for _ in range(self.max_retries + 1):
            pair = self._draw_pair(shape, region)
            read = _reader(scan, *pair)
            views = [read(box) for box in pair]
            excess = max(map(self.background.excess, views))
            if excess < least:
                least, kept = excess, (pair, views, read)
            if excess <= 0:
                break
        return *kept, least > 0

    def _region(self, scan: Any, shape: np.ndarray) -> Box:
        return region_inside(self.margin, scan, shape)

    def _draw_pair(self, shape: np.ndarray, region: Box) -> tuple[Box, Box]:
        sizes = np.minimum(self.sizes, shape)
        pair = self._first_of_many(sizes, shape, region) if self.drawn == "rejection" else None
        return pair or self._draw_fitting(sizes, shape, region)

    def _first_of_many(self, sizes: np.ndarray, shape: np.ndarray, region: Box) -> tuple[Box, Box] | None:
        """Draw pairs of any sizes at any places; the first that overlap enough, if there are any."""
        for _ in range(_TRIES):
            drawn = sizes[self.R.randint(len(sizes), size=(2, _PAIRS))]
            if self.same_size:
                drawn[1] = drawn[0]
            low, high = start_range(drawn, region, shape)
            first, second = (Box(*both) for both in zip(self.R.randint(low, high + 1), drawn, strict=True))
            passing = np.flatnonzero(iou(first, second) > self.iou_threshold)
            if len(passing):
                return Box(first.start[passing[0]], first.size[passing[0]]), Box(
                    second.start[passing[0]], second.size[passing[0]]
                )
        return None

    def _draw_fitting(self, sizes: np.ndarray, shape: np.ndarray, region: Box) -> tuple[Box, Box]:
        pairs = overlapping_sizes(sizes, self.iou_threshold, self.same_size)
        size, other = sizes[pairs[self.R.randint(len(pairs))]]
        low, high = start_range(size, region, shape)
        first = Box(self.R.randint(low, high + 1), size)
        low, high = start_range(other, region, shape)
        low, high, best = overlapping_starts(first, other, low, high, self.iou_threshold)
        drawn = self.R.randint(low, high + 1, size=(_TRIES, self.dims))
        return first, first_overlapping(first, other, drawn, best, self.iou_threshold)

    def _draw_locals(self, around: Box) -> list[Box]:
        boxes = []
        for _ in range(self.num_locals):
            size = np.minimum(self.local_sizes[self.R.randint(len(self.local_sizes))], around.size)
            boxes.append(Box(self.R.randint(around.start, around.stop - size + 1), size))
        return boxes

    def _draw_corners(self, around: Box, shape: np.ndarray) -> list[Box]:
        low, high = np.maximum(around.start - _BESIDE, 0), np.minimum(around.stop + _BESIDE, shape)
        boxes = []
        for _ in range(self.num_locals):
            size, start = self.local_sizes[self.R.randint(len(self.local_sizes))], self.R.randint(low, high)
            boxes.append(Box(start, np.minimum(size, shape - start)))
        return boxes


def _reader(scan: Any, first: Box, second: Box) -> Callable[[Box], Tensor]:
    """Return what reads a window inside the box around both views, from memory where that is cheaper."""
    around = bounding_box(first, second)
    if around.volume > _JOINT_READ * (first.volume + second.volume):
        return lambda box: read_window(scan, box)
    joint = read_window(scan, around)
    return lambda box: read_window(joint, Box(box.start - around.start, box.size))


def _report(pair: tuple[Box, Box], small: list[Box], fallback: bool) -> dict[str, Any]:
    report = {
        "starts": np.stack([box.start for box in pair]),
        "sizes": np.stack([box.size for box in pair]),
        "iou": float(iou(*pair)),
        "fallback": fallback,
    }
    if small:
        report["local_starts"] = np.stack([box.start for box in small])
        report["local_sizes"] = np.stack([box.size for box in small])
    return report
