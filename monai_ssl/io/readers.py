"""Read any source: the one door to all formats."""

from __future__ import annotations

from monai_ssl.io.dicom.source import read_dicom
from monai_ssl.io.discovery import Source
from monai_ssl.io.images import read_image
from monai_ssl.io.itk import read_metaimage, read_nrrd
from monai_ssl.io.nifti import read_nifti
from monai_ssl.io.volume import Volume, reading

KINDS = ("dicom", "nifti", "nrrd", "metaimage", "image")
FOUR_D = ("refuse", "split")
MISSING_SLICES = ("refuse", "fill")


def read(source: Source, *, four_d: str = "refuse", missing_slices: str = "refuse") -> list[Volume]:
    """Decode a source.

    Args:
        source: as found by :func:`monai_ssl.data.discover`.
        four_d: ``"refuse"`` a file of several volumes, or ``"split"`` it.
        missing_slices: ``"refuse"`` a DICOM series with gaps, or ``"fill"`` them by linear interpolation.

    Returns:
        One volume, or several for a file that was split.

    Raises:
        ReadError: when the source cannot be read; the message is for a person.
        ValueError: when an option is none of the above.
    """
    if four_d not in FOUR_D:
        raise ValueError(f"`four_d` must be one of {FOUR_D}, got {four_d!r}.")
    if missing_slices not in MISSING_SLICES:
        raise ValueError(f"`missing_slices` must be one of {MISSING_SLICES}, got {missing_slices!r}.")
    if source.kind not in KINDS:
        raise ValueError(f"`source.kind` must be one of {KINDS}, got {source.kind!r}.")
    # the readers say what is wrong where they can tell; this catches what a damaged file does elsewhere
    with reading(source.files[0], "the file cannot be read, it is damaged", "copy the file again or leave it out"):
        return _read(source, four_d, missing_slices)


def _read(source: Source, four_d: str, missing_slices: str) -> list[Volume]:
    path = source.files[0]
    if source.kind == "dicom":
        return read_dicom(source.files, four_d, missing_slices)
    if source.kind == "nifti":
        return read_nifti(path, four_d)
    if source.kind == "nrrd":
        return read_nrrd(path, four_d)
    if source.kind == "metaimage":
        return read_metaimage(path, four_d)
    return [read_image(path)]
