"""Exact intensity statistics of a scan: percentiles, mean, standard deviation from a histogram."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

PERCENTILES = (0.5, 1.0, 50.0, 99.0, 99.5)
OFFSET, _VALUES = 32768, 65536
"""The histogram covers every int16 and uint16; its entry of that number counts zeros."""
_AT_ONCE = 1 << 18
"""Voxels, about, which a cache holds."""


def intensity_statistics(
    array: np.ndarray, foreground_above: float | None, counts: np.ndarray | None = None
) -> dict[str, float]:
    """Summarize an array (C, *spatial) of a finite 8- or 16-bit integer or a float type.

    Args:
        array: the stored intensities.
        foreground_above: voxels above this value are foreground; ``None`` takes all voxels.
        counts: the array's :func:`histogram`, where it is known.

    Returns:
        ``min, max, mean, std``, percentiles ``p0.5 p1 p50 p99 p99.5`` (linear interpolation, as NumPy's), and of the
        foreground ``foreground_mean, foreground_std, foreground_fraction``.
    """
    if array.dtype.kind in "iu":
        return _of_histogram(histogram(array) if counts is None else counts, foreground_above)
    return _of_floats(array, foreground_above)


def histogram(array: np.ndarray) -> np.ndarray:
    """Count each value of 8- or 16-bit integers (C, *spatial); entry ``i`` counts the value ``i - 32768``."""
    counts = np.zeros(_VALUES, np.int64)
    for channel in array:
        for slab in slabs(channel):
            flat = slab.ravel()
            counts += np.bincount(flat.view(f"u{flat.itemsize}"), minlength=_VALUES)
    whole = np.zeros(OFFSET + _VALUES, np.int64)
    if array.dtype.kind == "i":
        negative = 1 << (8 * array.itemsize - 1)
        whole[OFFSET : OFFSET + negative] = counts[:negative]
        whole[OFFSET - negative : OFFSET] = counts[negative : 2 * negative]
    else:
        whole[OFFSET:] = counts
    return whole


def clipped(counts: np.ndarray, low: int, high: int) -> np.ndarray:
    """Return the histogram of an array whose values were clipped, from its own.

    >>> counts = histogram(np.array([[-5, 0, 1, 9]], np.int16))
    >>> np.array_equal(clipped(counts, -1, 3), histogram(np.array([[-1, 0, 1, 3]], np.int16)))
    True
    """
    first, last = low + OFFSET, high + OFFSET
    within = np.zeros_like(counts)
    within[first : last + 1] = counts[first : last + 1]
    within[first] += counts[:first].sum()
    within[last] += counts[last + 1 :].sum()
    return within


def ends(array: np.ndarray, counts: np.ndarray | None = None) -> tuple[float, float]:
    """Return the lowest and the highest value, from the array's :func:`histogram` where it is known."""
    if counts is None:
        return float(array.min()), float(array.max())
    values = np.flatnonzero(counts)
    return float(values[0] - OFFSET), float(values[-1] - OFFSET)


def slabs(array: np.ndarray) -> Iterator[np.ndarray]:
    """Yield an array in pieces along its first axis, so that what is computed of them needs no memory of its size."""
    step = max(1, _AT_ONCE // array[0].size)
    yield from (array[first : first + step] for first in range(0, len(array), step))


def _of_histogram(counts: np.ndarray, foreground_above: float | None) -> dict[str, float]:
    values = np.flatnonzero(counts)
    counts = counts[values]
    values = values - OFFSET
    mean, std = _moments(values, counts)
    chosen = slice(None) if foreground_above is None else values > foreground_above
    inner_mean, inner_std = _moments(values[chosen], counts[chosen])
    return {
        "min": float(values[0]),
        "max": float(values[-1]),
        "mean": mean,
        "std": std,
        **{f"p{q:g}": _percentile(values, counts, q) for q in PERCENTILES},
        "foreground_mean": inner_mean,
        "foreground_std": inner_std,
        "foreground_fraction": float(counts[chosen].sum() / counts.sum()),
    }


def _moments(values: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    total = counts.sum()
    if not total:
        return 0.0, 0.0
    mean = float((values * counts).sum() / total)
    return mean, float(np.sqrt(((values - mean) ** 2 * counts).sum() / total))


def _percentile(values: np.ndarray, counts: np.ndarray, q: float) -> float:
    ends = np.cumsum(counts)
    position = (ends[-1] - 1) * q / 100
    below = math.floor(position)
    lower, upper = (values[np.searchsorted(ends, rank, side="right")] for rank in (below, math.ceil(position)))
    return float(lower + (upper - lower) * (position - below))


def _of_floats(array: np.ndarray, foreground_above: float | None) -> dict[str, float]:
    inner = array if foreground_above is None else array[array > foreground_above]
    percentiles = np.percentile(array, PERCENTILES)
    return {
        "min": float(array.min()),
        "max": float(array.max()),
        "mean": float(array.mean(dtype=np.float64)),
        "std": float(array.std(dtype=np.float64)),
        **{f"p{q:g}": float(p) for q, p in zip(PERCENTILES, percentiles, strict=True)},
        "foreground_mean": float(inner.mean(dtype=np.float64)) if inner.size else 0.0,
        "foreground_std": float(inner.std(dtype=np.float64)) if inner.size else 0.0,
        "foreground_fraction": inner.size / array.size,
    }


__all__ = ["OFFSET", "PERCENTILES", "clipped", "ends", "histogram", "intensity_statistics", "slabs"]
