"""Grid: where the voxels of an image lie, from its header alone where the format allows."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

import numpy as np
from nibabel import orientations
from numpy.typing import NDArray

from monai_ssl.io.discovery import Source
from monai_ssl.io.formats import by_kind
from monai_ssl.io.geometry import check_affine
from monai_ssl.io.readers import read
from monai_ssl.io.volume import Grid, Volume, reading


def grid_of(source: Source) -> Grid:
    """Return the grid of a source; of several volumes that of the first.

    Raises:
        ReadError: when the header, or where the whole must be read the file, is damaged.
    """
    entry = by_kind(source.kind)
    if entry.grid is None:
        return stored_grid(read(source, four_d="split")[0])
    module, _, name = entry.grid.rpartition(".")
    with reading(source.files[0], "the header cannot be read, the file is damaged", "copy the file again"):
        grid: Grid = getattr(import_module(module), name)(source.files)
    check_affine(grid.affine, source.files[0])
    return grid


def stored_grid(volume: Volume) -> Grid:
    """Return the grid of a volume with the axes as the file stores them."""
    shape = volume.array.shape[1:]
    if volume.stored_affine is None:
        return Grid(shape, volume.affine)
    order = orientations.io_orientation(volume.stored_affine)[:, 0].astype(int) if len(shape) == 3 else (0, 1)
    return Grid(tuple(shape[axis] for axis in order), volume.stored_affine)


def canonical_grid(grid: Grid) -> Grid:
    """Return the grid with its axes in the order and direction closest to RAS; that of a picture as it is."""
    if len(grid.shape) < 3:
        return grid
    orientation = orientations.io_orientation(grid.affine)
    shape = np.empty(3, int)
    shape[orientation[:, 0].astype(int)] = grid.shape
    return Grid(tuple(shape.tolist()), grid.affine @ orientations.inv_ornt_aff(orientation, grid.shape))


def corners(box: Sequence[Sequence[int]], affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the millimeters (2 ** D, 3) of the centers of a box's outermost voxels.

    Args:
        box: first and last index along each axis.
        affine: (4, 4) from indices to millimeters.

    >>> corners([(0, 1), (0, 2), (0, 3)], np.eye(4))[-1].tolist()
    [1.0, 2.0, 3.0]
    """
    indices = np.stack(np.meshgrid(*box, indexing="ij"), -1).reshape(-1, len(box))
    return indices @ affine[:3, : len(box)].T + affine[:3, 3]
