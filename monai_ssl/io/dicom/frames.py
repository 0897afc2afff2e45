"""One slice as it is stacked: where it lies and how its values are decoded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_ssl.io.dicom.headers import Header, is_color, numbers
from monai_ssl.io.dicom.pixels import rescaling
from monai_ssl.io.volume import ReadError


@dataclass(frozen=True)
class Frame:
    """One slice.

    Args:
        position: (3,) millimeters in LPS, center of the first pixel.
        axes: (2, 3) directions of increasing column and of increasing row.
        spacing: millimeters between rows and between columns, in DICOM's order.
        thickness: millimeters, 0 if unknown.
        shape: (rows, columns).
        dtype: of what ``pixels`` returns.
        pixels: decodes the values (rows, columns); what is no measurement is masked.
        notes: what a report should mention.
    """

    position: NDArray[np.float64]
    axes: NDArray[np.float64]
    spacing: tuple[float, float]
    thickness: float
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    pixels: Callable[[], NDArray[Any]]
    notes: tuple[str, ...] = ()

    @property
    def normal(self) -> NDArray[np.float64]:
        """The direction in which slices are stacked."""
        return np.cross(*self.axes)


def geometry(
    position: tuple[float, ...], orientation: tuple[float, ...], spacing: tuple[float, ...], place: Path
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[float, float]]:
    """Check what a header says of a slice, and return it as :class:`Frame` wants it.

    Raises:
        ReadError: when something is missing or impossible.
    """
    remedy = "export the series again with its geometry, or convert it to NIfTI"
    if len(position) != 3 or len(orientation) != 6:
        raise ReadError(
            f"{place}: the slices have no position or orientation in space, so they cannot be stacked; {remedy}."
        )
    axes = np.array(orientation).reshape(2, 3)
    if not np.allclose(axes @ axes.T, np.eye(2), atol=0.01):
        raise ReadError(f"{place}: the orientation of the slices is no pair of directions at right angles; {remedy}.")
    if len(spacing) != 2 or not min(spacing) > 0:
        raise ReadError(f"{place}: the pixel spacing is missing or not positive in the DICOM headers; {remedy}.")
    return np.array(position), axes, (spacing[0], spacing[1])


def frame_of(header: Header, path: Path, place: Path, read: Callable[[], NDArray[Any]]) -> Frame:
    """Return the frame that a header describes.

    Args:
        header: of the file, or of one of its frames.
        path: the file.
        place: what messages about its geometry name.
        read: decodes its stored numbers (rows, columns).

    Raises:
        ReadError: when it is in color, or its header says too little.
    """
    position, axes, spacing = geometry(
        numbers(header, "ImagePositionPatient", path),
        numbers(header, "ImageOrientationPatient", path),
        numbers(header, "PixelSpacing", path),
        place,
    )
    if is_color(header):
        raise ReadError(f"{place}: the slices are in color, and volumes are read in gray only; leave the series out.")
    scaling = rescaling(header, path)
    return Frame(
        position=position,
        axes=axes,
        spacing=spacing,
        thickness=next(iter(numbers(header, "SliceThickness", path)), 0.0),
        shape=(int(header.get("Rows")), int(header.get("Columns"))),
        dtype=scaling.dtype,
        pixels=lambda: scaling(read()),
        notes=scaling.notes,
    )
