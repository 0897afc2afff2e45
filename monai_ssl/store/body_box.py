"""Bounding box of the body (foreground) in a scan, for cropping."""

from __future__ import annotations

import numpy as np

Box = tuple[tuple[int, ...], tuple[int, ...]]
"""First voxel and one past the last voxel, for each spatial axis."""

CT_BODY_ABOVE = -500.0
"""HU: halfway between air and water."""
_CELLS = 64
_KEPT_SHARE = 0.1


def foreground_threshold(array: np.ndarray, modality: str) -> float | None:
    """Return the value that foreground exceeds: -500 HU in CT, a tenth of the robust range in other 3-D scans.

    The latter is how BET separates head from air: Smith, "Fast robust automated brain extraction", Human Brain
    Mapping 2002.

    Returns:
        ``None`` for 2-D images, where everything counts.
    """
    if array.ndim == 3:
        return None
    if modality == "ct":
        return CT_BODY_ABOVE
    low, high = np.percentile(_every(array, [-(-n // 128) for n in array.shape[1:]]), (2, 98))
    return float(low + 0.1 * (high - low))


def body_box(array: np.ndarray, above: float | None) -> Box:
    """Return the box around the body in (C, *spatial), exact to a 64th of the scan; the whole scan if none is found.

    On a coarse grid, thin things such as the couch are removed by an opening, and parts smaller than a tenth of the
    largest are dropped.

    Args:
        array: intensities.
        above: what counts as foreground; ``None`` returns the whole scan.
    """
    shape = array.shape[1:]
    whole: Box = ((0,) * len(shape), tuple(shape))
    if above is None:
        return whole
    steps = [-(-n // _CELLS) for n in shape]
    coarse = _every(array, steps).max(axis=0) > above
    body = _dilate(_dilate(_large_parts(_erode(coarse)))) & coarse
    if not body.any():
        return whole
    lo, hi = [], []
    for axis, (step, n) in enumerate(zip(steps, shape, strict=True)):
        hit = np.flatnonzero(body.any(axis=tuple(a for a in range(body.ndim) if a != axis)))
        lo.append(int(hit[0]) * step)
        hi.append(min(int(hit[-1] + 1) * step, n))
    return tuple(lo), tuple(hi)


def _every(array: np.ndarray, steps: list[int]) -> np.ndarray:
    """Take the middle voxel of each cell of (C, *spatial)."""
    cells = (slice(None), *(slice(step // 2, None, step) for step in steps))
    return array[cells]


def _dilate(mask: np.ndarray) -> np.ndarray:
    from scipy.ndimage import maximum_filter

    return maximum_filter(mask, 3, mode="constant", cval=0)


def _erode(mask: np.ndarray) -> np.ndarray:
    from scipy.ndimage import minimum_filter

    # what lies beyond the scan counts as body, so that a body cut by the border stays
    return minimum_filter(mask, 3, mode="constant", cval=1)


def _large_parts(mask: np.ndarray) -> np.ndarray:
    from scipy.ndimage import label

    # parts that touch by faces
    parts, _ = label(mask)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return mask & (sizes >= _KEPT_SHARE * sizes.max())[parts]


__all__ = ["CT_BODY_ABOVE", "Box", "body_box", "foreground_threshold"]
