"""Read one DICOM source: a series of slices, an enhanced multi-frame file, or a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from monai_ssl.io.dicom.enhanced import enhanced_stacks
from monai_ssl.io.dicom.headers import (
    PLANAR_MODALITIES,
    is_enhanced,
    is_multiframe,
    modality_of,
    numbers,
    open_header,
    quiet,
)
from monai_ssl.io.dicom.pixels import Rescaling, pixel_reader, rescaling
from monai_ssl.io.dicom.series import Frame, geometry, stack
from monai_ssl.io.geometry import canonical, check_affine, flat_affine, spacing_of
from monai_ssl.io.images import channels_first
from monai_ssl.io.volume import ReadError, ReadOptions, Volume, compact, reading

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.dataset import FileDataset


def read_dicom(files: Sequence[Path], options: ReadOptions) -> list[Volume]:
    """Return one volume, or several for a multi-frame file of several with ``four_d="split"``.

    Args:
        files: those of one series.
        options: how to read it.

    Raises:
        ReadError: naming the file, or the folder of a series.
    """
    with quiet():
        return _read(files, options.four_d, options.missing_slices)


def _read(files: Sequence[Path], four_d: str, missing_slices: str) -> list[Volume]:
    headers = [open_header(path) for path in files]
    first = headers[0]
    if len(files) == 1 and is_enhanced(first):
        stacks = enhanced_stacks(files[0], four_d)
        return [_volume(frames, first, files[0], missing_slices) for frames in stacks]
    film = next((path for path, header in zip(files, headers, strict=True) if is_multiframe(header)), None)
    if film is not None:
        raise ReadError(f"{film}: this is a film of several frames, not a volume; export single frames as pictures.")
    if len(files) == 1 and first.get("Modality") in PLANAR_MODALITIES and "ImagePositionPatient" not in first:
        return [_picture(files[0], first)]
    place = files[0] if len(files) == 1 else files[0].parent
    frames = [_frame(path, header, place) for path, header in zip(files, headers, strict=True)]
    return [_volume(frames, first, place, missing_slices)]


def _volume(frames: Sequence[Frame], header: Dataset, place: Path, missing_slices: str) -> Volume:
    array, affine, notes = stack(frames, place, missing_slices, is_ct=modality_of(header) == "ct")
    check_affine(affine, place)
    array, moved = canonical(array, affine)
    facts = modality_of(header), _patient(header), tuple(notes)
    return Volume(array[None], moved, spacing_of(moved), *facts, stored_affine=affine)


def _frame(path: Path, header: Dataset, place: Path) -> Frame:
    position, axes, spacing = geometry(
        numbers(header, "ImagePositionPatient", path),
        numbers(header, "ImageOrientationPatient", path),
        numbers(header, "PixelSpacing", path),
        place,
    )
    if int(header.get("SamplesPerPixel") or 1) != 1:
        raise ReadError(f"{place}: the slices are in color, and volumes are read in gray only; leave the series out.")
    scaling = rescaling(header, path)
    return Frame(
        position=position,
        axes=axes,
        spacing=spacing,
        thickness=next(iter(numbers(header, "SliceThickness", path)), 0.0),
        shape=(int(header.Rows), int(header.Columns)),
        dtype=scaling.dtype,
        pixels=lambda: _values(path, scaling),
    )


def _values(path: Path, scaling: Rescaling) -> NDArray[Any]:
    return scaling(pixel_reader(_with_pixels(path), path)(None))


def _with_pixels(path: Path) -> FileDataset:
    from pydicom import dcmread

    with reading(path, "the file cannot be opened", "copy the file again or leave it out"):
        return dcmread(path, force=True)


def _picture(path: Path, header: Dataset) -> Volume:
    """Columns come first, as from MONAI's readers of pictures."""
    spacing = numbers(header, "PixelSpacing", path) or numbers(header, "ImagerPixelSpacing", path)
    rows, columns = spacing if len(spacing) == 2 else (1.0, 1.0)
    array = channels_first(_values(path, rescaling(header, path)))
    modality = modality_of(header)
    return Volume(
        np.ascontiguousarray(compact(array)),
        flat_affine((columns, rows)),
        (columns, rows),
        "rgb" if len(array) == 3 and modality != "us" else modality,
        _patient(header),
        () if spacing else ("the pixel spacing is unknown and taken as 1 mm",),
    )


def _patient(header: Dataset) -> str | None:
    return str(header.get("PatientID") or "").strip() or None
