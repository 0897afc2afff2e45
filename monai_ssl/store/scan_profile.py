"""Coarse intensity profile of a scan, without a network, for nearest-neighbor search of patients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from monai_ssl.store.scan import Scan

_CELLS = 8
_VOXELS = 64
"""Read along each axis; the mean of a cell hardly needs more."""


def scan_profiles(scans: Sequence[Scan], cells: int = _CELLS) -> np.ndarray:
    """Return the mean intensity in each cell of a grid over the body of each scan.

    Args:
        scans: of any sizes, all 2-D or all 3-D.
        cells: of the grid along each axis.

    Returns:
        (N, cells ** D) in [0, 1]; channels are averaged.
    """
    return np.stack([_profile(scan, cells) for scan in scans])


def _profile(scan: Scan, cells: int) -> np.ndarray:
    low, high = scan.body_box
    inside = [slice(a, b, max(1, (b - a) // _VOXELS)) for a, b in zip(low, high, strict=True)]
    where = (slice(None), *inside)
    body = torch.from_numpy(np.ascontiguousarray(scan[where])).mean(0)
    pool = torch.nn.functional.adaptive_avg_pool3d if body.ndim == 3 else torch.nn.functional.adaptive_avg_pool2d
    return pool(body[None], cells).flatten().numpy()


__all__ = ["scan_profiles"]
