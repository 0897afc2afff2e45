"""Margins of a crop: where in a scan, or in its body box, a window may lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_ssl.transforms.crops.boxes import Box

Margin = int | str | Sequence[int | Sequence[int]]
"""Voxels to stay away from the border: one number, or for each axis one number or a pair (before, after); "body"."""


def check_extents(name: str, sizes: Sequence[Sequence[int]], dims: int) -> NDArray[np.int64]:
    """Return ``sizes`` as (N, dims).

    Raises:
        ValueError: when ``dims`` is not 2 or 3, there is no size, or one is not positive or has other axes.
    """
    if dims not in (2, 3):
        raise ValueError(f"`out_size` must have 2 or 3 axes, got {dims}.")
    if not len(sizes) or any(len(size) != dims or min(size) < 1 for size in sizes):
        got = [list(size) for size in sizes]
        raise ValueError(f"`{name}` must be positive numbers of voxels with as many axes as `out_size`, got {got}.")
    return np.array(sizes, dtype=np.int64)


def check_margin(margin: Margin, dims: int) -> str | NDArray[np.int64]:
    """Return ``"body"`` or the voxels before and after each axis, (dims, 2).

    Raises:
        ValueError: when it is neither.
    """
    if isinstance(margin, str):
        if margin != "body":
            raise ValueError(f'`margin` must be voxels or "body", got {margin!r}.')
        return margin
    axes = [margin] * dims if isinstance(margin, int) else margin
    pairs = [(axis, axis) if isinstance(axis, int) else tuple(axis) for axis in axes]
    if len(pairs) != dims or any(len(pair) != 2 or min(pair) < 0 for pair in pairs):
        raise ValueError(f"`margin` must give no negative number for each of {dims} axes, one or a pair, got {margin}.")
    return np.array(pairs, dtype=np.int64)


def region_inside(margin: str | NDArray[np.int64], scan: Any, shape: np.ndarray) -> Box:
    """Return what the checked ``margin`` leaves of a scan of ``shape`` (D,): its ``body_box``, or all but the border.

    The sides of the region may be negative where the margins are wider than the scan.
    """
    if isinstance(margin, str):
        body = getattr(scan, "body_box", None)
        low, high = (np.zeros_like(shape), shape) if body is None else map(np.asarray, body)
        return Box(low, high - low)
    return Box(margin[:, 0], shape - margin.sum(1))
