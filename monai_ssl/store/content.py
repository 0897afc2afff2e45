"""What is in a scan, whatever file it came from: a hash of its voxels, and a perceptual hash for near-duplicates."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from monai_ssl.store.statistics import OFFSET, clipped, ends, histogram, slabs

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


def content_of(array: NDArray[Any], counts: NDArray[np.int64] | None = None) -> dict[str, str]:
    """Return ``content``, equal for the same voxels, and ``look``, similar for similar ones.

    The content does not depend on the format of the file, its type of numbers or compression, on which way the axes
    run, or on padding outside the field of view of CT. Fractions count to one part in 65536.

    Args:
        array: (C, *spatial), as a reader returns it.
        counts: the histogram of its integers, where it is known.

    >>> scan = np.arange(24.0).reshape(1, 2, 3, 4)
    >>> content_of(scan)["content"] == content_of(scan.astype(np.int16)[:, ::-1])["content"]
    True
    """
    if len(array) > 1 and all(np.array_equal(array[0], channel) for channel in array[1:]):
        # a gray picture that was saved in color
        array, counts = array[:1], None
    levels = _levels(array, counts)
    digest = hashlib.sha256(repr((sorted(array.shape[1:]), levels.scale)).encode())
    for channel in levels.array:
        digest.update(_counts(channel, levels, counts if len(array) == 1 else None).astype("<i8").tobytes())
        for profile in sorted(_profiles(channel, levels)):
            digest.update(profile)
    return {"content": digest.hexdigest()[:32], "look": _look(levels.array[0], levels)}


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


class _Levels(NamedTuple):
    """How values become whole numbers from 0: slab by slab, since memory of a scan's size costs more than all else.

    Args:
        array: of finite values.
        range: to which values are clipped: HU beyond the range of CT are padding and metal.
        low: becomes 0.
        step: between two numbers; 0 where the values are whole numbers themselves.
        scale: what the numbers stand for.
    """

    array: NDArray[Any]
    range: tuple[int, int] | None
    low: float
    step: float
    scale: tuple[str, str]

    @property
    def zero(self) -> int:
        """The whole number that becomes 0."""
        return 0 if self.step else int(self.low)

    def whole(self, part: NDArray[Any]) -> NDArray[Any]:
        """Return whole numbers, of any integer type."""
        part = part.clip(*self.range) if self.range else part
        if self.step:
            return np.rint((part.astype(np.float64) - self.low) * self.step).astype(np.uint16)
        return part.astype(np.int32) if part.dtype.kind == "f" else part

    def of(self, part: NDArray[Any]) -> NDArray[np.uint16]:
        # differences of 16 bits are right, whatever the bits above
        return self.whole(part).astype(np.uint16) - np.uint16(self.zero % _LEVELS)


def _levels(array: NDArray[Any], counts: NDArray[np.int64] | None) -> _Levels:
    if array.dtype.kind == "f":
        finite = np.isfinite(array)
        if not finite.all():
            array = np.where(finite, array, array[finite].min() if finite.any() else 0)
    low, high = ends(array, counts)
    whole = array.dtype.kind in "iu" or all(np.array_equal(part, np.rint(part)) for part in array[0])
    beyond = None
    if whole and low <= _AIR:
        beyond = _HU_RANGE if low < _HU_RANGE[0] or high > _HU_RANGE[1] else None
        low, high = (min(max(end, _HU_RANGE[0]), _HU_RANGE[1]) for end in (low, high))
    if whole and high - low < _LEVELS:
        return _Levels(array, beyond, low, 0, (f"{low:.0f}", "whole"))
    return _Levels(array, beyond, low, (_LEVELS - 1) / max(high - low, 1e-30), (f"{low:.3g}", f"{high:.3g}"))


def _counts(channel: NDArray[Any], levels: _Levels, counts: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """Return how often each level occurs, up to the highest that does; ``counts`` are those of the values, if known."""
    if channel.dtype.kind in "iu" and channel.itemsize < 4 and not levels.step:
        counts = histogram(channel[None]) if counts is None else counts
        counts = (clipped(counts, *levels.range) if levels.range else counts)[OFFSET + levels.zero :]
    else:
        found = (np.bincount(levels.of(slab).ravel(), minlength=_LEVELS) for slab in slabs(channel))
        counts = sum(found, np.zeros(_LEVELS, np.int64))
    return counts[: int(np.flatnonzero(counts)[-1]) + 1]


def _profiles(channel: NDArray[Any], levels: _Levels) -> list[bytes]:
    """Return the sums of levels over all but one axis, in the direction that comes first."""
    along, across = [], np.zeros(channel.shape[1:], np.int64)
    for slab in map(levels.whole, slabs(channel)):
        along.append(slab.sum(tuple(range(1, slab.ndim)), dtype=np.int64))
        # 32 bits hold the sum of so many lines of 16, in less time
        short = slab.itemsize < 4 and len(slab) < _LEVELS // 2
        across += slab.sum(0, dtype=np.int32 if short else np.int64)
    rest = [across.sum(tuple(set(range(across.ndim)) - {axis})) for axis in range(across.ndim)]
    # of whole numbers until here; levels count from zero
    sums = [found - levels.zero * (channel.size // len(found)) for found in (np.concatenate(along), *rest)]
    return [min(s.astype("<i8").tobytes(), s[::-1].astype("<i8").tobytes()) for s in sums]


def _look(channel: NDArray[Any], levels: _Levels) -> str:
    """Say of each cell of a grid whether it is brighter than all, and than the bright ones, on average."""
    step = tuple(slice(None, None, max(1, size // _VOXELS)) for size in channel.shape)
    cells: NDArray[Any] = levels.of(channel[step])
    for axis in range(cells.ndim):
        lines = np.moveaxis(cells, axis, 0)
        cells = np.moveaxis(_means(lines, _CELLS[cells.ndim]), 0, axis)
    bright = cells > cells.mean()
    brightest = cells > (cells[bright].mean() if bright.any() else 0)
    return np.packbits([bright.ravel(), brightest.ravel()]).tobytes().hex()


def _means(lines: NDArray[Any], count: int) -> NDArray[np.float64]:
    """Return the means of ``count`` equal cells along the first axis; their borders may lie between two voxels.

    They are differences of the integral at the borders, which is all of it that is kept.
    """
    borders = np.linspace(0, len(lines), count + 1)
    below = np.floor(borders).astype(int).clip(0, len(lines) - 1)
    total, done, integrals = np.zeros(lines.shape[1:]), 0, []
    for place, part in zip(below, borders - below, strict=True):
        for line in lines[done:place]:
            total = total + line
        done = place
        integrals.append(total * (1 - part) + (total + lines[place]) * part)
    means: NDArray[np.float64] = np.diff(integrals, axis=0) * (count / len(lines))
    return means
