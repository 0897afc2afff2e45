"""Bounding boxes: IoU, union, pairs that overlap enough.

A box is a pair of integer arrays (start, size), each (..., D): the half-open voxel intervals [start, start + size).
The recipe for pairs follows Zhou et al., "A Unified Visual Information Preservation Framework for Self-supervised
Pre-training in Medical Image Analysis", TPAMI 2023, https://arxiv.org/abs/2301.00772, without its rejection sampling.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Box(NamedTuple):
    """Half-open voxel intervals of D axes; both arrays are (..., D) and broadcast."""

    start: np.ndarray
    size: np.ndarray

    @property
    def stop(self) -> np.ndarray:
        """First voxel behind the box, (..., D)."""
        return self.start + self.size

    @property
    def volume(self) -> np.ndarray:
        """Voxels in the box, (...)."""
        return np.prod(self.size, axis=-1, dtype=np.int64)


def iou(a: Box, b: Box) -> np.ndarray:
    """Return |A and B| / |A or B| in [0, 1], of shape (...); 1 only for equal boxes."""
    sides = np.minimum(a.stop, b.stop) - np.maximum(a.start, b.start)
    shared = np.prod(np.maximum(sides, 0), axis=-1, dtype=np.int64)
    return shared / (a.volume + b.volume - shared)


def bounding_box(a: Box, b: Box) -> Box:
    """Return the smallest box that contains both: the minimum and the maximum per axis."""
    start = np.minimum(a.start, b.start)
    return Box(start, np.maximum(a.stop, b.stop) - start)


def overlapping_sizes(sizes: np.ndarray, threshold: float, same: bool = False) -> np.ndarray:
    """Return the ordered pairs (i, j) of ``sizes`` (N, D) that can exceed ``threshold`` at all, as indices (M, 2).

    Two boxes overlap best when one lies inside the other wherever its sides allow; pairs whose best IoU does not
    exceed ``threshold`` would be drawn again forever. Every size pairs with itself, so M >= N for ``threshold`` < 1.
    """
    zero = np.zeros_like(sizes)
    nested = iou(Box(zero[:, None], sizes[:, None]), Box(zero[None], sizes[None]))
    possible = np.eye(len(sizes), dtype=bool) if same else nested > threshold
    return np.argwhere(possible)


def start_range(size: np.ndarray, region: Box, shape: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and the last start (D,) of a box inside ``region``.

    Where the box is longer than the region, it is centered on it as well as the volume of ``shape`` allows, so two
    boxes of one region always reach the overlap of nested boxes.

    Raises:
        ValueError: when the box does not fit into the volume.
    """
    if np.any(size > shape):
        raise ValueError(f"A box of {size.tolist()} voxels does not fit into a volume of {shape.tolist()}.")
    centered = np.clip((2 * region.start + region.size - size) // 2, 0, shape - size)
    fits = size <= region.size
    return np.where(fits, region.start, centered), np.where(fits, region.stop - size, centered)


def overlapping_starts(
    first: Box, size: np.ndarray, low: np.ndarray, high: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Narrow the starts of a second box to those that can exceed ``threshold`` with ``first``.

    Returns:
        First and last start (D,) per axis, the other axes at their best, and the start (D,) of the best overlap.
        No start outside this range passes, hence drawing inside it changes no probability among those that pass.
    """
    best = np.minimum(first.size, size)
    # IoU > t is the same as |A and B| > t (|A| + |B|) / (1 + t)
    needed = threshold * (first.volume + Box(low, size).volume) / (1 + threshold)
    sides = np.maximum(needed / (np.prod(best) / best), 1) - 1e-6
    concentric = np.clip(first.start + (first.size - size) // 2, low, high)
    narrow_low = np.maximum(low, np.ceil(first.start + sides - size).astype(np.int64))
    narrow_high = np.minimum(high, np.floor(first.stop - sides).astype(np.int64))
    return np.minimum(narrow_low, concentric), np.maximum(narrow_high, concentric), concentric


def first_overlapping(first: Box, size: np.ndarray, drawn: np.ndarray, best: np.ndarray, threshold: float) -> Box:
    """Return the first box among the ``drawn`` starts (N, D) whose IoU with ``first`` exceeds ``threshold``.

    When none does, the drawn starts move toward the ``best`` start (D,), to half their distance, a quarter and so
    on, until one does; at the latest at distance 0.

    Raises:
        ValueError: when not even the ``best`` start exceeds the threshold.
    """
    for shrink in (1.0, 0.5, 0.25, 0.125, 0.0):
        starts = best + np.trunc(shrink * (drawn - best)).astype(np.int64)
        passing = np.flatnonzero(iou(first, Box(starts, size)) > threshold)
        if len(passing):
            return Box(starts[passing[0]], size)
    raise ValueError(
        f"Boxes of {first.size.tolist()} and {size.tolist()} voxels never overlap with IoU > {threshold}; "
        "draw sizes from `overlapping_sizes` only."
    )
