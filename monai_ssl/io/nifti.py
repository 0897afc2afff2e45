"""Read NIfTI and Analyze files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.spatialimages import SpatialImage
from numpy.typing import NDArray

from monai_ssl.io.check_sums import open_unpacked, packing_of, read_to_end
from monai_ssl.io.formats import ending_of
from monai_ssl.io.geometry import canonical, check_affine, flat_affine, shear_degrees, spacing_of
from monai_ssl.io.volume import Grid, ReadError, ReadOptions, Volume, compact, reading

DAMAGED = "copy the file again or leave it out"
UNPLACED = "the header does not say how the patient lies, left and right may be exchanged"
MILLIMETERS = {"meter": 1000.0, "micron": 0.001}
Place = Callable[[Any], tuple[NDArray[np.float64], tuple[str, ...]]]
_HEAD = 1024
SHEAR = 0.5
"""Degrees from right angles above which the report mentions it."""


def read_nifti(files: Sequence[Path], options: ReadOptions) -> list[Volume]:
    """Return one volume, or one for each time or channel of a 4-D file with ``four_d="split"``.

    Args:
        files: one file, or a header and its data, packed or not.
        options: only ``four_d`` counts.

    Raises:
        ReadError: when the file is no NIfTI file, is cut off, holds colors or complex numbers, or has an absurd affine.
    """
    return decode(_opened(files), files, options, _affine)


def nifti_grid(files: Sequence[Path]) -> Grid:
    """Return where the voxels lie, by the header."""
    return grid_by(_opened(files), _affine)


def grid_by(image: Any, place: Place) -> Grid:
    """Return the grid of what nibabel opened; ``place`` as for :func:`decode`."""
    affine, notes = place(image)
    return Grid(tuple(int(n) for n in image.shape[:3]), affine, UNPLACED not in notes)


def _opened(files: Sequence[Path]) -> Any:
    with reading(files[0], "this is not a NIfTI file, whatever its name says, or it is damaged", DAMAGED):
        return nib.load(files[0]) if len(files) == 1 and not _is_odd(files[0].name) else _load_as_named(*files[:2])


def _is_odd(name: str) -> bool:
    """Whether an ending is in capitals and small letters, which nibabel would spell otherwise."""
    ending = name[-len(ending_of(name)) :]
    return ending not in (ending.lower(), ending.upper())


def decode(image: Any, files: Sequence[Path], options: ReadOptions, place: Place) -> list[Volume]:
    """Return the volumes of what nibabel opened, after all of its files were read to their ends.

    Args:
        image: of nibabel, of any class.
        files: those of the image.
        options: only ``four_d`` counts.
        place: gives the affine of the image in millimeters, and notes about it.

    Raises:
        ReadError: see :func:`read_nifti`.
    """
    path = files[0]
    packing = packing_of(path) if len(files) == 1 else None
    if packing is None or not hasattr(image, "from_stream"):
        volumes = _volumes(image, path, options.four_d, place)
        for file in files:
            _check_end(file, path)
        return volumes
    # unpacked once, for the voxels and for the check sum
    problem = f"the {packing.name} data are cut off or damaged"
    with packing.open(path) as stream:
        # the header was read before: what fails here is the packing, whose check sum isal meets with the first bytes
        with reading(path, problem, DAMAGED):
            image = type(image).from_stream(stream)
        volumes = _volumes(image, path, options.four_d, place)
        with reading(path, problem, DAMAGED):
            read_to_end(stream)
    return volumes


def _check_end(file: Path, path: Path) -> None:
    packing = packing_of(file)
    if packing is not None:
        problem = f"the {packing.name} data of {file.name} are cut off or damaged"
        with reading(path, problem, DAMAGED), packing.open(file) as stream:
            read_to_end(stream)


def _load_as_named(path: Path, data: Path | None = None) -> Any:
    """Load a file, or a pair of which one may be packed and the other not, however their names are spelled."""
    with open_unpacked(path) as file:
        head = file.read(_HEAD)
    kinds = (kind for kind in nib.imageclasses.all_image_classes if (len(kind.files_types) > 1) == (data is not None))
    kind = next(kind for kind in kinds if _begins(kind, head))
    places = kind.filespec_to_file_map(path)
    for part, place in (("header", path), ("image", data or path)):
        if part in places:
            places[part].filename = str(place)
    return kind.from_file_map(places)


def _begins(kind: Any, head: bytes) -> bool:
    return hasattr(kind.header_class, "may_contain_header") and bool(kind.header_class.may_contain_header(head))


def _volumes(image: Any, path: Path, four_d: str, place: Place) -> list[Volume]:
    if not isinstance(image, SpatialImage):
        raise ReadError(f"{path}: these are surfaces or matrices ({type(image).__name__}), not an image; leave it out.")
    _check_content(image, path)
    affine, notes = place(image)
    check_affine(affine, path)
    array = _values(image, path)
    if array.ndim == 4 and array.shape[3] == 1:
        array = array[..., 0]
    if array.ndim == 4 and four_d == "refuse":
        raise ReadError(
            f"{path}: the file is 4-D, {array.shape[3]} volumes of {_size(array.shape[:3])}; read each on its own with "
            "`--four-d split`, or leave it out."
        )
    parts = [array] if array.ndim < 4 else [array[..., i] for i in range(array.shape[3])]
    return [_volume(part, affine, notes) for part in parts]


def _check_content(image: Any, path: Path) -> None:
    dtype = image.get_data_dtype()
    if dtype.names is not None or dtype.kind not in "biuf":
        content = "colors" if dtype.names is not None else "complex numbers"
        raise ReadError(f"{path}: the voxels are {content}, and gray values are needed; convert it or leave it out.")
    shape = image.shape
    if 0 in shape or len(shape) < 2:
        raise ReadError(f"{path}: the image is empty, its size is {_size(shape)}; {DAMAGED}.")
    if len(shape) > 4 and any(size > 1 for size in shape[4:]):
        raise ReadError(
            f"{path}: the file has {len(shape)} dimensions, and at most 4 are read; save the volumes apart."
        )


def _affine(image: Any) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Return the affine in millimeters, and what there is to say about it."""
    affine = np.array(image.affine, dtype=np.float64)
    notes = []
    if isinstance(image, nib.Nifti1Pair):
        affine[:3] *= MILLIMETERS.get(image.header.get_xyzt_units()[0], 1.0)
        placed = int(image.header["qform_code"]) or int(image.header["sform_code"])
    else:
        placed = 0
    if not placed:
        notes.append(UNPLACED)
    elif len(image.shape) > 2 and np.isfinite(affine).all() and min(spacing_of(affine)) > 0:
        degrees = shear_degrees(affine)
        if degrees > SHEAR:
            notes.append(f"the axes are {degrees:.1f} degrees off right angles, as from an uncorrected gantry tilt")
    return affine, tuple(notes)


def _values(image: Any, path: Path) -> NDArray[Any]:
    """Decode; axes beyond the fourth, all of size 1, are dropped."""
    problem = "the voxels cannot be read, the file is cut off or damaged"
    # what overflows becomes infinite, which the report counts
    with reading(path, problem, DAMAGED), np.errstate(over="ignore"):
        data = image.dataobj
        unscaled = data.slope == 1 and data.inter == 0
        array = data.get_unscaled() if unscaled else np.asarray(data, dtype=np.float32)
        return compact(array.reshape(array.shape[:4]))


def _volume(array: NDArray[Any], affine: NDArray[np.float64], notes: tuple[str, ...]) -> Volume:
    if array.ndim == 2:
        spacing = spacing_of(affine, 2)
        return Volume(np.ascontiguousarray(array)[None], flat_affine(spacing), spacing, "unknown", None, notes, affine)
    array, moved = canonical(array, affine)
    return Volume(array[None], moved, spacing_of(moved), "unknown", None, notes, affine)


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
