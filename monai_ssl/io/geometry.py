"""Affines and orientation: LPS to RAS, closest canonical axes, gantry tilt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from nibabel import orientations
from numpy.typing import NDArray

from monai_ssl.io.volume import ReadError

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
PLAUSIBLE_SPACING = (0.001, 100.0)
"""Millimeters; micro-CT and thick scouts lie within, broken headers mostly outside."""

_CACHE_LINE, _TILE = 64, 2048
"""Bytes that a cache reads at once, and of columns that are turned side by side."""


def spacing_of(affine: NDArray[np.float64], dims: int = 3) -> tuple[float, ...]:
    """Return the millimeters per voxel along the first ``dims`` array axes."""
    return tuple(float(s) for s in np.linalg.norm(affine[:3, :dims], axis=0))


def flat_affine(spacing: tuple[float, ...]) -> NDArray[np.float64]:
    """Return the affine of a picture: its spacing on the diagonal."""
    return np.diag([*spacing, *[1.0] * (4 - len(spacing))])


def check_affine(affine: NDArray[np.float64], path: Path) -> None:
    """Raise :class:`ReadError` when the affine cannot be that of a scan."""
    low, high = PLAUSIBLE_SPACING
    remedy = "repair the header of the file or leave it out"
    if not np.isfinite(affine).all():
        raise ReadError(f"{path}: the affine of the header holds NaN or infinity; {remedy}.")
    spacing = spacing_of(affine)
    if min(spacing) < low or max(spacing) > high:
        shown = " x ".join(f"{s:g}" for s in spacing)
        raise ReadError(
            f"{path}: the voxels are {shown} mm by the affine of the header, which no scan has "
            f"({low:g} to {high:g} mm are accepted); {remedy}."
        )
    if abs(np.linalg.det(affine[:3, :3] / np.array(spacing))) < 1e-3:
        raise ReadError(f"{path}: the affine of the header is not invertible, its axes lie in one plane; {remedy}.")


def shear_degrees(affine: NDArray[np.float64]) -> float:
    """Return by how many degrees the axes deviate most from being at right angles."""
    axes = affine[:3, :3] / np.array(spacing_of(affine))
    cosines = np.abs((axes.T @ axes)[np.triu_indices(3, 1)])
    return float(np.degrees(np.arcsin(np.clip(cosines.max(), 0, 1))))


def canonical(array: NDArray[Any], affine: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Flip and permute the axes of an array (X, Y, Z) to the closest RAS; voxels are moved, never interpolated."""
    orientation = orientations.io_orientation(affine)
    moved = orientations.apply_orientation(array, orientation)
    return contiguous(moved), affine @ orientations.inv_ornt_aff(orientation, array.shape)


def contiguous(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array (X, Y, Z) in C order; by pieces that fit the cache, several times faster than at once."""
    fastest = int(np.argmin(np.abs(array.strides)))
    if fastest == 2:
        return np.ascontiguousarray(array)
    return _by_tiles(array) if fastest == 0 else _by_planes(array)


def _by_tiles(array: NDArray[Any]) -> NDArray[Any]:
    """Copy columns that fill a line of the cache when they are read, side by side while they fit when written."""
    out = np.empty(array.shape, array.dtype)
    wide = max(1, _CACHE_LINE // array.itemsize)
    deep = min(8, max(1, _TILE // (array.itemsize * max(1, array.shape[2]))))
    for x in range(0, array.shape[0], wide):
        for y in range(0, array.shape[1], deep):
            out[x : x + wide, y : y + deep] = array[x : x + wide, y : y + deep]
    return out


def _by_planes(array: NDArray[Any]) -> NDArray[Any]:
    """Copy planes (Y, Z), lines of the file first: across them, those of 512 pixels would drive each other out."""
    out = np.empty(array.shape, array.dtype)
    for target, plane in zip(out, array, strict=True):
        target[...] = np.ascontiguousarray(plane.T).T
    return out


def unshear(array: NDArray[Any], shifts: NDArray[np.float64], fill: float) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Move every slice within its plane so that a tilted stack becomes an orthogonal one.

    The plane grows so that nothing is cut off. Values between pixels are interpolated linearly.

    Args:
        array: (X, Y, Z).
        shifts: (Z, 2) pixels by which each slice lies off, along X and Y.
        fill: value outside the slices.

    Returns:
        The larger array (X', Y', Z) and the pixels (2,) by which its first pixel lies before the old one.
    """
    low, high = np.floor(shifts.min(0)), np.ceil(shifts.max(0))
    grow = (high - low).astype(int)
    out = np.full((array.shape[0] + grow[0], array.shape[1] + grow[1], array.shape[2]), fill, array.dtype)
    for k, shift in enumerate(shifts - low):
        plane = array[:, :, k].astype(np.float32)
        for axis in (0, 1):
            plane = _shift(plane, float(shift[axis]), int(grow[axis]), axis, fill)
        out[:, :, k] = np.rint(plane) if array.dtype.kind in "iu" else plane
    return out, -low


def _shift(plane: NDArray[np.float32], shift: float, grow: int, axis: int, fill: float) -> NDArray[np.float32]:
    """Shift by 0 <= ``shift`` <= ``grow`` pixels along one axis into a plane that is ``grow`` pixels larger there."""
    if not grow:
        return plane
    whole = min(int(shift), grow - 1)
    before, after = [(0, 0), (0, 0)], [(0, 0), (0, 0)]
    before[axis] = (whole, grow - whole)
    after[axis] = (whole + 1, grow - whole - 1)
    part = np.float32(shift - whole)
    return (1 - part) * np.pad(plane, before, constant_values=fill) + part * np.pad(plane, after, constant_values=fill)
