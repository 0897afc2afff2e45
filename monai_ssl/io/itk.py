"""Read NRRD and MetaImage (MHA, MHD) by ITK, NRRD also by pynrrd."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_ssl.io.check_sums import GZIP, check_packed
from monai_ssl.io.formats import Format, by_kind
from monai_ssl.io.geometry import LPS_TO_RAS, canonical, check_affine, flat_affine, spacing_of
from monai_ssl.io.metaimage import check_metaimage
from monai_ssl.io.volume import Grid, ReadError, ReadOptions, Volume, compact, reading

DAMAGED = "copy the file again or leave it out"


def read_nrrd(files: Sequence[Path], options: ReadOptions) -> list[Volume]:
    """Return one volume, or one for each time of a 4-D file with ``four_d="split"``.

    Raises:
        ReadError: when neither ITK nor pynrrd is installed, or the file is damaged or holds several values a voxel.
    """
    path = files[0]
    if find_spec("itk") is None and find_spec("nrrd") is not None:
        return _volumes(*_by_pynrrd(path), path, options.four_d)
    _check_gzip(path)
    return _volumes(*_by_itk(path, by_kind("nrrd"), "NrrdImageIO"), path, options.four_d)


def read_metaimage(files: Sequence[Path], options: ReadOptions) -> list[Volume]:
    """Return one volume, or one for each time of a 4-D file with ``four_d="split"``.

    Raises:
        ReadError: when ITK is not installed, or the file is damaged or holds several values a voxel.
    """
    path = files[0]
    check_metaimage(path)
    return _volumes(*_by_itk(path, by_kind("metaimage"), "MetaImageIO"), path, options.four_d)


def nrrd_grid(files: Sequence[Path]) -> Grid:
    """Return where the voxels lie, by the header; without ITK by the whole file."""
    if find_spec("itk") is None and find_spec("nrrd") is not None:
        array, affine = _by_pynrrd(files[0])
        return Grid(array.shape[:3], affine)
    return _grid(files[0], by_kind("nrrd"), "NrrdImageIO")


def metaimage_grid(files: Sequence[Path]) -> Grid:
    """Return where the voxels lie, by the header."""
    check_metaimage(files[0])
    return _grid(files[0], by_kind("metaimage"), "MetaImageIO")


def _grid(path: Path, entry: Format, by: str) -> Grid:
    _need_itk(path, entry)
    header = _header(path, by)
    dims = min(3, header.GetNumberOfDimensions())
    return Grid(tuple(int(header.GetDimensions(axis)) for axis in range(dims)), _affine(header))


def _need_itk(path: Path, entry: Format) -> None:
    if find_spec("itk") is None:
        raise ReadError(f"{path}: {entry.title} files need ITK; {entry.remedy}.")


def _volumes(array: NDArray[Any], affine: NDArray[np.float64], path: Path, four_d: str) -> list[Volume]:
    """Make volumes of an array (X, Y[, Z[, T]])."""
    if not array.size or not 2 <= array.ndim <= 4:
        shown = " x ".join(map(str, array.shape))
        raise ReadError(f"{path}: the image is {shown}, and only 2 to 4 dimensions are read; {DAMAGED}.")
    check_affine(affine, path)
    array = compact(array)
    if array.ndim == 2:
        spacing = spacing_of(affine, 2)
        flat = np.ascontiguousarray(array)[None]
        return [Volume(flat, flat_affine(spacing), spacing, "unknown", None, stored_affine=affine)]
    parts = np.moveaxis(array, 3, 0) if array.ndim == 4 else array[None]
    if len(parts) > 1 and four_d == "refuse":
        raise ReadError(
            f"{path}: the file is 4-D with {len(parts)} volumes; read each on its own with `--four-d split`, or leave "
            "it out."
        )
    placed = [canonical(part, affine) for part in parts]
    return [
        Volume(part[None], moved, spacing_of(moved), "unknown", None, stored_affine=affine) for part, moved in placed
    ]


def _by_itk(path: Path, entry: Format, by: str) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return the array (X, Y[, Z[, T]]) and the affine to RAS."""
    _need_itk(path, entry)
    import itk

    with reading(path, f"this {entry.title} file cannot be read, it is cut off or damaged", DAMAGED):
        header = _header(path, by)
        if header.GetNumberOfComponents() != 1:
            raise ReadError(_several_values(path, header.GetNumberOfComponents()))
        # the wheels of ITK hold no images of other types
        kinds = {"unsigned_char": itk.UC, "short": itk.SS, "char": itk.SS, "unsigned_short": itk.US, "float": itk.F}
        pixel = kinds.get(header.GetComponentTypeAsString(header.GetComponentType()), itk.D)
        kind = itk.Image[pixel, header.GetNumberOfDimensions()]
        reader = itk.ImageFileReader[kind].New(FileName=str(path), ImageIO=header)
        reader.Update()
        array = itk.array_from_image(reader.GetOutput()).T
        return array, _affine(header)


def _header(path: Path, by: str) -> Any:
    import itk

    # ITK's own choice goes by the ending, and knows it in small letters only
    header = getattr(itk, by).New()
    header.SetFileName(str(path))
    header.ReadImageInformation()
    return header


def _affine(header: Any) -> NDArray[np.float64]:
    dims = min(3, header.GetNumberOfDimensions())
    affine = np.eye(4)
    for axis in range(dims):
        affine[:dims, axis] = np.asarray(header.GetDirection(axis))[:dims] * header.GetSpacing(axis)
        affine[axis, 3] = header.GetOrigin(axis)
    return LPS_TO_RAS @ affine


def _check_gzip(path: Path) -> None:
    """Compare the data of an NRRD file packed by gzip with their check sum, which ITK leaves out."""
    with path.open("rb") as file, reading(path, "the gzip data of this NRRD file are cut off or damaged", DAMAGED):
        header = b""
        for line in file:
            if not line.strip():
                break
            header += line.lower()
        if b"encoding: gz" not in header or b"data file:" in header:
            return
        check_packed(file, GZIP)


def _by_pynrrd(path: Path) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return the array (X, Y[, Z]) and the affine to RAS."""
    import nrrd

    with reading(path, "this NRRD file cannot be read, it is cut off or damaged", DAMAGED):
        array, header = nrrd.read(str(path))
        directions = header.get("space directions")
        if directions is None:
            directions = np.diag(header.get("spacings", np.ones(array.ndim)))
        directions = np.asarray(directions, dtype=np.float64)
        if len(directions) != directions.shape[1]:
            raise ReadError(_several_values(path, array.shape[0]))
        size = len(directions)
        affine = np.eye(4)
        affine[:size, :size] = directions.T
        affine[:size, 3] = header.get("space origin", np.zeros(size))
    return array, _space(str(header.get("space", "left-posterior-superior"))) @ affine


def _space(name: str) -> NDArray[np.float64]:
    """Return the flips from a space of NRRD to RAS."""
    short = "".join(word[0] for word in name.lower().split("-")) if "-" in name else name.lower()
    return np.diag([-1.0 if short[0] == "l" else 1.0, -1.0 if short[1] == "p" else 1.0, 1.0, 1.0])


def _several_values(path: Path, count: int) -> str:
    return f"{path}: every voxel holds {count} values (colors or channels), and one is needed; save the channels apart."
