"""What is in a scan, whatever file it came from: a hash of its voxels, and a perceptual hash for near-duplicates."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
_LEVELS = 1 << 16
_CELLS = {2: 20, 3: 10}
"""Along each axis of the grid that a perceptual hash looks at."""
_VOXELS = 96
"""Looked at along each axis, at least."""
NEAR = 0.06
"""Share of a perceptual hash in which near-duplicates differ at most; other patients differ in more."""
_AIR = -900
_HU_RANGE = (-1024, 3071)


def content_of(array: NDArray[Any]) -> dict[str, str]:
    """Return ``content``, equal for the same voxels, and ``look``, similar for similar ones.

    The content does not depend on the format of the file, its type of numbers or compression, on which way the axes
    run, or on padding outside the field of view of CT. Fractions count to one part in 65536.

    Args:
        array: (C, *spatial), as a reader returns it.

    >>> scan = np.arange(24.0).reshape(1, 2, 3, 4)
    >>> content_of(scan)["content"] == content_of(scan.astype(np.int16)[:, ::-1])["content"]
    True
    """
    if len(array) > 1 and all(np.array_equal(array[0], channel) for channel in array[1:]):
        # a gray picture that was saved in color
        array = array[:1]
    levels, scale = _levels(array)
    digest = hashlib.sha256(repr((sorted(array.shape[1:]), scale)).encode())
    for channel in levels:
        counts = sum(np.bincount(part.ravel(), minlength=int(channel.max()) + 1) for part in channel)
        digest.update(np.asarray(counts, "<i8").tobytes())
        for profile in sorted(_profiles(channel)):
            digest.update(profile)
    return {"content": digest.hexdigest()[:32], "look": _look(levels[0])}


def same_content(scans: Iterable[tuple[T, str]]) -> list[list[T]]:
    """Return the groups of scans that hold the same voxels, of scans with their content, ``""`` where it is not known.

    >>> same_content([("a", "1"), ("b", "2"), ("c", "1"), ("d", ""), ("e", "")])
    [['a', 'c']]
    """
    groups: dict[str, list[T]] = defaultdict(list)
    for scan, content in scans:
        if content:
            groups[content].append(scan)
    return [group for group in groups.values() if len(group) > 1]


def difference(look: str, other: str) -> float:
    """Return the share of bright cells in which two perceptual hashes differ; 1 where they are not comparable."""
    a, b = int(look or "0", 16), int(other or "0", 16)
    return (a ^ b).bit_count() / (a | b).bit_count() if a and b and len(look) == len(other) else 1.0


def _levels(array: NDArray[Any]) -> tuple[NDArray[np.uint16], tuple[str, str]]:
    """Return the values as whole numbers from 0, and what these stand for."""
    if array.dtype.kind == "f":
        finite = np.isfinite(array)
        if not finite.all():
            array = np.where(finite, array, array[finite].min() if finite.any() else 0)
    low, high = float(array.min()), float(array.max())
    whole = array.dtype.kind in "iu" or all(np.array_equal(part, np.rint(part)) for part in array[0])
    if whole and low <= _AIR:
        array = array.clip(*_HU_RANGE)
        low, high = float(array.min()), float(array.max())
    if whole and high - low < _LEVELS:
        return (array.astype(np.int32) - int(low)).astype(np.uint16), (f"{low:.0f}", "whole")
    scaled = np.rint((array.astype(np.float64) - low) * ((_LEVELS - 1) / max(high - low, 1e-30)))
    return scaled.astype(np.uint16), (f"{low:.3g}", f"{high:.3g}")


def _profiles(channel: NDArray[np.uint16]) -> list[bytes]:
    """Return the sums over all but one axis, each in the direction that comes first."""
    flat = channel.sum(0, dtype=np.int64)
    rest = [flat.sum(tuple(set(range(flat.ndim)) - {axis})) for axis in range(flat.ndim)]
    sums = [channel.sum(tuple(range(1, channel.ndim)), dtype=np.int64), *rest]
    return [min(s.astype("<i8").tobytes(), s[::-1].astype("<i8").tobytes()) for s in sums]


def _look(channel: NDArray[np.uint16]) -> str:
    """Say of each cell of a grid whether it is brighter than all, and than the bright ones, on average."""
    step = tuple(slice(None, None, max(1, size // _VOXELS)) for size in channel.shape)
    cells = channel[step].astype(np.float64)
    for axis in range(cells.ndim):
        size, count = cells.shape[axis], _CELLS[cells.ndim]
        edges = np.linspace(0, size, count + 1)
        # a mean between any two places, also between voxels: the integral, interpolated
        total = np.concatenate([np.zeros_like(cells.take([0], axis)), cells.cumsum(axis)], axis)
        below = np.floor(edges).astype(int).clip(0, size - 1)
        part = (edges - below).reshape([-1 if other == axis else 1 for other in range(cells.ndim)])
        at = total.take(below, axis) * (1 - part) + total.take(below + 1, axis) * part
        cells = np.diff(at, axis=axis) * (count / size)
    bright = cells > cells.mean()
    brightest = cells > (cells[bright].mean() if bright.any() else 0)
    return np.packbits([bright.ravel(), brightest.ravel()]).tobytes().hex()
