"""Read FreeSurfer's MGH files, packed (MGZ) or not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from monai_ssl.io.check_sums import open_unpacked
from monai_ssl.io.nifti import DAMAGED, UNPLACED, decode, grid_by
from monai_ssl.io.volume import Grid, ReadOptions, Volume, reading

_FLAG = 28
"""Where the header says, in two bytes, whether it knows the directions; nibabel overwrites a no."""


def read_mgh(files: Sequence[Path], options: ReadOptions) -> list[Volume]:
    """Return one volume, or one for each frame of a 4-D file with ``four_d="split"``.

    Raises:
        ReadError: when the file is no MGH file, is cut off, or has an absurd affine.
    """
    return decode(_opened(files[0]), files, options, lambda image: _place(image, files[0]))


def mgh_grid(files: Sequence[Path]) -> Grid:
    """Return where the voxels lie, by the header."""
    return grid_by(_opened(files[0]), lambda image: _place(image, files[0]))


def _opened(path: Path) -> Any:
    with reading(path, "this is not an MGH file, whatever its name says, or it is damaged", DAMAGED):
        return nib.MGHImage.from_filename(path)


def _place(image: Any, path: Path) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Return the affine and, where it is nibabel's default, the note on that."""
    with reading(path, "the header cannot be read, the file is damaged", DAMAGED), open_unpacked(path) as file:
        placed = int.from_bytes(file.read(_FLAG + 2)[_FLAG:], "big", signed=True) > 0
    return np.array(image.affine, dtype=np.float64), () if placed else (UNPLACED,)
