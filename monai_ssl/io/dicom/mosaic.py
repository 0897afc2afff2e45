"""Siemens' mosaics: the slices of a volume side by side in one picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from monai_ssl.io.dicom.frames import Frame
from monai_ssl.io.volume import ReadError, reading

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset


def mosaic_frames(dataset: FileDataset, path: Path, whole: Frame) -> list[Frame]:
    """Return the slices of a mosaic, whose places nibabel finds in Siemens' private header.

    Args:
        dataset: the file.
        path: its path.
        whole: the picture as if it were one slice.

    Raises:
        ReadError: when that header was removed.
    """
    from nibabel.nicom.csareader import get_csa_header
    from nibabel.nicom.dicomwrappers import MosaicWrapper

    with reading(path, "the private header of the mosaic is damaged", "convert the series to NIfTI"):
        private = get_csa_header(dataset)
        mosaic = None if private is None else MosaicWrapper(dataset, private)
    if mosaic is None:
        raise ReadError(
            f"{path}: a mosaic of slices in one picture whose private header was removed, so that no slice has a "
            "place; export the series again with private tags, or convert it to NIfTI."
        )
    rows, columns, count = mosaic.image_shape
    if whole.shape != (rows * mosaic.mosaic_size, columns * mosaic.mosaic_size):
        raise ReadError(f"{path}: the picture cannot be cut into {count} slices of equal size; convert it to NIfTI.")
    step = mosaic.slice_normal * mosaic.voxel_sizes[2]
    picture = cache(whole.pixels)
    return [
        replace(
            whole,
            position=mosaic.image_position + k * step,
            thickness=float(mosaic.voxel_sizes[2]),
            shape=(rows, columns),
            pixels=_Tile(picture, k, rows, columns),
        )
        for k in range(count)
    ]


class _Tile:
    """Decodes a tile of a picture, row by row from the upper left."""

    def __init__(self, pixels: Callable[[], NDArray[Any]], index: int, rows: int, columns: int) -> None:
        self.pixels, self.index, self.rows, self.columns = pixels, index, rows, columns

    def __call__(self) -> NDArray[Any]:
        picture = self.pixels()
        down, across = divmod(self.index, picture.shape[1] // self.columns)
        top, left = down * self.rows, across * self.columns
        return picture[top : top + self.rows, left : left + self.columns]
