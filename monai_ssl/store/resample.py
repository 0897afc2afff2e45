"""Resample to another voxel spacing: linear interpolation with anti-aliasing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def resample(
    array: np.ndarray, affine: np.ndarray, spacing: Sequence[float], target: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Resample (C, *spatial) to a spacing; the outer border of the first voxel stays where it is.

    Args:
        array: intensities of any type.
        affine: 4x4, millimeters of the voxel centers.
        spacing: millimeters of each spatial axis now.
        target: millimeters wanted.

    Returns:
        float32 (C, *new) with ``new = round(old * spacing / target)``, and the new affine.
    """
    out = np.ascontiguousarray(array, np.float32)
    moved = np.array(affine, np.float64)
    for axis, (old, new) in enumerate(zip(spacing, target, strict=True)):
        step = new / old
        moved[:3, 3] += moved[:3, axis] * (step - 1) / 2
        moved[:3, axis] *= step
        if abs(step - 1) > 1e-4:
            weights = _weights(array.shape[axis + 1], step)
            out = np.moveaxis(np.tensordot(weights, out, axes=(1, axis + 1)), 0, axis + 1)
    return np.ascontiguousarray(out), moved


def _weights(size: int, step: float) -> np.ndarray:
    """Rows of a triangle filter over the old voxels, as wide as the larger of both voxels: (new, old)."""
    centers = (np.arange(max(1, round(size / step))) + 0.5) * step - 0.5
    # a last voxel may stick out by half its size: it takes the border's value
    centers = centers.clip(0, size - 1)
    distance = np.abs(centers[:, None] - np.arange(size)) / max(step, 1.0)
    weights = (1 - distance).clip(0)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


__all__ = ["resample"]
