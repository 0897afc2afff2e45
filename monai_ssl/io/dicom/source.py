"""Read one DICOM source: a series of slices, an enhanced multi-frame file, or a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from monai_ssl.io.dicom.enhanced import enhanced_frames, frame_headers
from monai_ssl.io.dicom.frames import Frame, frame_of
from monai_ssl.io.dicom.headers import (
    PLANAR_MODALITIES,
    is_enhanced,
    is_mosaic,
    is_multiframe,
    modality_of,
    numbers,
    open_header,
    quiet,
)
from monai_ssl.io.dicom.mosaic import mosaic_frames
from monai_ssl.io.dicom.multiframe import multiframe_frames
from monai_ssl.io.dicom.pixels import fill_padding, looked_up, pixel_reader, rescaling
from monai_ssl.io.dicom.series import stack
from monai_ssl.io.dicom.volumes import split
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
        return _read(files, options)


def _read(files: Sequence[Path], options: ReadOptions) -> list[Volume]:
    headers = [open_header(path) for path in files]
    if len(files) == 1 and is_multiframe(headers[0]):
        return _of_frames(files[0], options)
    film = next((path for path, header in zip(files, headers, strict=True) if is_multiframe(header)), None)
    if film is not None:
        raise ReadError(f"{film}: a file of several frames is read on its own; keep it out of the series.")
    first = headers[0]
    if len(files) == 1 and is_mosaic(first):
        dataset = _with_pixels(files[0])
        frames = mosaic_frames(dataset, files[0], _frame(files[0], first, files[0]))
        return [_volume(frames, first, files[0], options)]
    is_picture = first.get("Modality") in PLANAR_MODALITIES and "ImagePositionPatient" not in first
    if len(files) == 1 and is_picture and not is_enhanced(first):
        return [_picture(files[0], first)]
    place = files[0] if len(files) == 1 else files[0].parent
    frames = [_frame(path, header, place) for path, header in zip(files, headers, strict=True)]
    return [_volume(frames, first, place, options)]


def _of_frames(path: Path, options: ReadOptions) -> list[Volume]:
    """Return the volumes of a file of several frames."""
    dataset = _with_pixels(path)
    find = enhanced_frames if is_enhanced(dataset) else multiframe_frames
    frames, slices = find(dataset, path, pixel_reader(dataset, path))
    parts = split(slices)
    whole = [part for part in parts if part.problem is None]
    if len(whole) > 1 and options.four_d == "refuse":
        raise ReadError(
            f"{path}: the file holds {len(whole)} volumes (echoes, times or stacks); read each on its own with "
            "`--four-d split`."
        )
    left_out = sum(len(part.slices) for part in parts if part.problem is not None)
    notes = (f"{left_out} frames of incomplete volumes were left out",) if left_out else ()
    chosen = ([frames[item.key] for item in part.slices if isinstance(item.key, int)] for part in whole)
    return [_volume(part, dataset, path, options, notes) for part in chosen]


def _volume(
    frames: Sequence[Frame], header: Dataset, place: Path, options: ReadOptions, notes: tuple[str, ...] = ()
) -> Volume:
    array, affine, more = stack(frames, place, options.missing_slices, is_ct=modality_of(header) == "ct")
    check_affine(affine, place)
    array, moved = canonical(array, affine)
    facts = modality_of(header), _patient(header), (*notes, *more)
    return Volume(array[None], moved, spacing_of(moved), *facts, stored_affine=affine)


def _frame(path: Path, header: Dataset, place: Path) -> Frame:
    own = frame_headers(header)[0] if is_enhanced(header) else header
    return frame_of(own, path, place, lambda: pixel_reader(_with_pixels(path), path)(None))


def _with_pixels(path: Path) -> FileDataset:
    from pydicom import dcmread

    with reading(path, "the file cannot be opened", "copy the file again or leave it out"):
        return dcmread(path, force=True)


def _picture(path: Path, header: Dataset) -> Volume:
    """Columns come first, as from MONAI's readers of pictures."""
    spacing = numbers(header, "PixelSpacing", path) or numbers(header, "ImagerPixelSpacing", path)
    rows, columns = spacing if len(spacing) == 2 else (1.0, 1.0)
    values, notes = _picture_values(path, header)
    array = channels_first(values)
    modality = modality_of(header)
    return Volume(
        np.ascontiguousarray(compact(array)),
        flat_affine((columns, rows)),
        (columns, rows),
        "rgb" if len(array) == 3 and modality != "us" else modality,
        _patient(header),
        notes if spacing else (*notes, "the pixel spacing is unknown and taken as 1 mm"),
    )


def _picture_values(path: Path, header: Dataset) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Return what is shown of a picture (rows, columns[, 3]), and notes."""
    dataset = _with_pixels(path)
    stored = pixel_reader(dataset, path)(None)
    if header.get("PhotometricInterpretation") == "PALETTE COLOR":
        return looked_up(stored, dataset, path), ()
    scaling = rescaling(header, path)
    values = scaling(stored)
    if isinstance(values, np.ma.MaskedArray):
        values = fill_padding(values.data, np.ma.getmaskarray(values), is_ct=False)
    return values, scaling.notes


def _patient(header: Dataset) -> str | None:
    return str(header.get("PatientID") or "").strip() or None
