"""Read DICOM headers and their numbers, with errors for people."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from monai_ssl.io.formats import by_kind
from monai_ssl.io.volume import ReadError, reading

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.dataset import FileDataset
    from pydicom.tag import BaseTag

INSTALL = by_kind("dicom").remedy

MODALITIES = {
    "CT": "ct",
    "MR": "mr",
    "US": "us",
    **dict.fromkeys(("CR", "DX", "MG", "IO", "PX", "RF", "XA", "RG"), "xray"),
    **dict.fromkeys(("PT", "NM", "OP", "OPT", "ES", "XC", "GM", "SM", "DG"), "other"),
}
"""Ours for DICOM's."""

STORAGE = "1.2.840.10008.5.1.4.1.1."
CLASSES = {"2": "ct", "4": "mr", "6": "us", "128": "other", "130": "other"}
"""Modality by the kind of object, for files that were anonymized too well."""

PLANAR_MODALITIES = ("CR", "DX", "MG", "IO", "PX", "RF", "XA", "RG", "US", "OP", "ES", "XC", "GM", "DG", "OT", "SC")
"""Pictures, unless they carry a position in space."""


NOT_IMAGES = {
    "SEG": "a segmentation",
    "RTSTRUCT": "a set of contours",
    "RTDOSE": "a dose distribution",
    "RTPLAN": "a treatment plan",
    "SR": "a structured report",
    "PR": "a presentation state",
    "KO": "a key object note",
    "REG": "a registration",
    "DOC": "a document",
}
SECONDARY_CAPTURE = STORAGE + "7"


class Header(Protocol):
    """A dataset, or whatever answers for one."""

    def get(self, tag: Any, default: Any = None, /) -> Any:
        """Return the value of a keyword, or the element of a number."""

    def __contains__(self, tag: Any, /) -> bool:
        """Whether there is such a number."""


@contextmanager
def quiet() -> Iterator[None]:
    """Silence pydicom: deviations from the standard are the rule in hospitals, and its warnings may quote patients."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def open_header(path: Path, tags: tuple[str | int, ...] = ()) -> FileDataset:
    """Read a header without its pixels; ``tags``, if any, limit what is kept.

    Raises:
        ReadError: when pydicom is missing or this is not a DICOM file.
    """
    try:
        from pydicom import dcmread
    except ImportError as error:
        raise ReadError(f"{path}: DICOM files need pydicom; {INSTALL}.") from error
    remedy = "copy the file again or leave it out"
    with reading(path, "the DICOM header cannot be read, the file is damaged", remedy):
        # force: many archives store no preamble
        header = dcmread(path, stop_before_pixels=True, force=True, specific_tags=_numbers_of(tags))
        if not header.file_meta and not len(header):
            raise ReadError(f"{path}: this is not a DICOM file, or it was cut off; {remedy}.")
        return header


@cache
def _numbers_of(tags: tuple[str | int, ...]) -> list[BaseTag] | None:
    return [number_of(tag) for tag in tags] or None


@cache
def number_of(tag: str | int) -> BaseTag:
    """Return a tag as pydicom compares them; it would look up its name each time."""
    from pydicom.tag import Tag

    return Tag(tag)


def modality_of(header: Header) -> str:
    """Return ``"ct"``, ``"mr"``, ``"xray"``, ``"us"``, ``"other"`` or ``"unknown"``."""
    name = str(header.get("Modality") or "")
    kind = str(header.get("SOPClassUID") or "")
    if name or not kind.startswith(STORAGE):
        return MODALITIES.get(name, "unknown")
    return CLASSES.get(kind.removeprefix(STORAGE).partition(".")[0], "unknown")


def refusal(header: Header) -> str | None:
    """Say why this is not an image to learn from, ``None`` if it is one."""
    modality = str(header.get("Modality") or "")
    kinds = header.get("ImageType") or ()
    if modality in NOT_IMAGES:
        return f"{NOT_IMAGES[modality]}, not an image"
    if not header.get("Rows") or not header.get("Columns"):
        return "the DICOM file holds no image"
    if "LOCALIZER" in kinds:
        return "a localizer, not a scan"
    captured = str(header.get("SOPClassUID") or "").startswith(SECONDARY_CAPTURE)
    if captured and modality in ("CT", "MR", "PT") and not header.get("ImagePositionPatient"):
        return "a screenshot, not a scan"
    return None


def is_multiframe(header: Header) -> bool:
    """Whether the file holds several frames."""
    return int(header.get("NumberOfFrames") or 1) > 1


def is_mosaic(header: Header) -> bool:
    """Whether the slices of a volume lie side by side in one picture, as Siemens stores time series."""
    return "MOSAIC" in (header.get("ImageType") or ()) and not is_multiframe(header)


def is_color(header: Header) -> bool:
    """Whether the pixels are in color, or indices of colors."""
    return int(header.get("SamplesPerPixel") or 1) != 1 or header.get("PhotometricInterpretation") == "PALETTE COLOR"


def is_enhanced(header: Dataset) -> bool:
    """Whether geometry and rescaling stand in functional groups for each frame."""
    enhanced = ("2.1", "2.2", "4.1", "4.4", "130", "128.1")
    named = str(header.get("SOPClassUID") or "") in [STORAGE + end for end in enhanced]
    return named or "PerFrameFunctionalGroupsSequence" in header


def numbers(header: Header, tag: str, path: Path) -> tuple[float, ...]:
    """Return the numbers of a tag, none if it is absent or empty.

    Raises:
        ReadError: when the tag holds something else.
    """
    with reading(path, f"{tag} in the DICOM header is not a number", "repair the file or leave it out"):
        value = header.get(tag)
        if value is None or value == "":
            return ()
        values = [value] if isinstance(value, str | int | float) else list(value)
        return tuple(float(item) for item in values)
