"""Where slices lie: which share a plane, which share a place, whether some form a regular stack."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from monai_ssl.io.dicom.marks import Slice
from monai_ssl.io.dicom.series import SAME_POSITION, Grid, grid_of

SAME_ORIENTATION = 2e-3
"""Slices of one stack differ in the direction cosines by rounding."""
SAME_SPACING = 1e-3
"""Likewise in the pixel spacing, by this share."""


def by_plane(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Return slices of equal orientation and pixel spacing together, in the order in which they come."""
    parts: list[list[Slice]] = []
    for item in slices:
        part = next((part for part in parts if _same_plane(part[0], item)), None)
        if part is None:
            parts.append([item])
        else:
            part.append(item)
    return parts


def _same_plane(one: Slice, two: Slice) -> bool:
    return _close(one.orientation, two.orientation, SAME_ORIENTATION) and _close(
        one.spacing, two.spacing, SAME_SPACING * max(one.spacing, default=1.0)
    )


def _close(one: tuple[float, ...], two: tuple[float, ...], slack: float) -> bool:
    return len(one) == len(two) and all(abs(a - b) <= slack for a, b in zip(one, two, strict=True))


def are_placed(slices: Sequence[Slice]) -> bool:
    """Whether all slices say where they lie."""
    if any(len(item.position) != 3 or len(item.orientation) != 6 for item in slices):
        return False
    axes = np.array(slices[0].orientation).reshape(2, 3)
    numbers = np.array([(*item.position, *item.orientation) for item in slices])
    return bool(np.isfinite(numbers).all() and np.linalg.norm(np.cross(*axes)) > 0.5)


class Places:
    """Where the slices of one plane lie.

    Args:
        slices: with a position and an orientation each, of one plane.
    """

    def __init__(self, slices: Sequence[Slice]) -> None:
        across, down = np.array(slices[0].orientation).reshape(2, 3)
        axes = np.stack([across, down, np.cross(across, down)], axis=1)
        points = np.array([item.position for item in slices]) @ axes
        self.heights: NDArray[np.float64] = points[:, 2]
        """Millimeters along the normal."""
        self.of = [tuple(place) for place in np.stack([_clusters(line) for line in points.T], axis=1).tolist()]
        """What slices of one place, and only these, share."""
        self.thickness = min(item.thickness for item in slices)

    def are_unique(self, part: Sequence[int]) -> bool:
        """Whether no two of some slices share a place."""
        return len({self.of[i] for i in part}) == len(part)

    def are_regular(self, part: Sequence[int]) -> bool:
        """Whether some slices of different places are evenly spaced, none missing."""
        grid = self._grid(part)
        return grid is None or (not grid.uneven and grid.size == len(part))

    def are_even(self, part: Sequence[int]) -> bool:
        """Whether some slices of different places are evenly spaced, but for missing ones."""
        grid = self._grid(part)
        return grid is None or not grid.uneven

    def _grid(self, part: Sequence[int]) -> Grid | None:
        heights = np.sort(self.heights[list(part)])
        if len(part) < 2:
            return None
        # side by side at one height is no stack
        return grid_of(heights) if np.diff(heights).min() > SAME_POSITION else Grid(len(part), 0.0, 0.0, uneven=True)

    def overlap(self, one: Sequence[int], two: Sequence[int]) -> bool:
        """Whether two parts share at least half of the extent of the smaller one."""
        a, b = self.heights[list(one)], self.heights[list(two)]
        return bool(2 * (min(a.max(), b.max()) - max(a.min(), b.min())) >= min(np.ptp(a), np.ptp(b)))

    def spans(self, part: Sequence[int], whole: Sequence[int]) -> bool:
        """Whether a part of several slices reaches as far as all do, to one distance of its slices."""
        inner, outer = self.heights[list(part)], self.heights[list(whole)]
        slack = np.ptp(inner) / max(1, len(inner) - 1) + SAME_POSITION
        return bool(inner.min() <= outer.min() + slack and inner.max() >= outer.max() - slack)

    def do_overlap(self, part: Sequence[int]) -> bool:
        """Whether some evenly spaced slices are thicker than they are apart."""
        grid = self._grid(part)
        return grid is not None and self.thickness > 1.05 * grid.distance


def _clusters(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Number the values along a line; those closer than what counts as one position get the same number."""
    order = np.argsort(values, kind="stable")
    numbers = np.empty(len(values), np.int64)
    numbers[order] = np.concatenate([[0], np.cumsum(np.diff(values[order]) > SAME_POSITION)])
    return numbers
