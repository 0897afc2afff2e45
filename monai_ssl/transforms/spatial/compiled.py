"""Linear interpolation in a volume as compiled code, where numba is installed: the eight voxels of a place at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@cache
def compiled() -> Callable[..., None] | None:
    """Return :func:`eight_voxels`, compiled in the first call, in a second or so; ``None`` without numba.

    Nothing is assumed of infinite numbers and NaN, which an index must not be made of.
    """
    try:
        from numba import njit
    except ImportError:
        return None
    function: Callable[..., Any] = njit(nogil=True, error_model="numpy", fastmath={"contract"})(eight_voxels)
    return function


def eight_voxels(
    framed: Floats, row: np.int32, plane: np.int32, x: Floats, y: Floats, z: Floats, ends: Floats, out: Floats
) -> None:
    """Write the mean of the eight voxels around each place into ``out``, weighed along the last axis first.

    Args:
        framed: a volume, flat, with one voxel more before each axis and two behind it.
        row: how far the next voxel lies along the second axis.
        plane: how far along the first.
        x: (n,) places along the first axis, in voxels of the volume without its frame.
        y: likewise, along the second.
        z: likewise, along the third.
        ends: (3,) the last places in the frame that have a second voxel behind the first one.
        out: (n,)
    """
    one, zero = np.float32(1), np.float32(0)
    last_x, last_y, last_z = ends[0], ends[1], ends[2]
    for n in range(out.size):
        # what is not above 0, NaN too, becomes 0
        at_x = x[n] + one if x[n] + one > zero else zero
        at_y = y[n] + one if y[n] + one > zero else zero
        at_z = z[n] + one if z[n] + one > zero else zero
        at_x = at_x if at_x < last_x else last_x
        at_y = at_y if at_y < last_y else last_y
        at_z = at_z if at_z < last_z else last_z
        i, j, k = np.int32(at_x), np.int32(at_y), np.int32(at_z)
        share_x, share_y, share_z = at_x - np.float32(i), at_y - np.float32(j), at_z - np.float32(k)
        # unsigned: a signed index would be asked each time whether it counts from the end
        first = np.uint64(np.uint32(i * plane + j * row + k))
        beside, behind = np.uint64(row), np.uint64(plane)
        next_one = np.uint64(1)
        a, b = framed[first], framed[first + beside]
        c, d = framed[first + behind], framed[first + behind + beside]
        a += share_z * (framed[first + next_one] - a)
        b += share_z * (framed[first + beside + next_one] - b)
        c += share_z * (framed[first + behind + next_one] - c)
        d += share_z * (framed[first + behind + beside + next_one] - d)
        a += share_y * (b - a)
        c += share_y * (d - c)
        out[n] = a + share_x * (c - a)


__all__ = ["compiled", "eight_voxels"]
