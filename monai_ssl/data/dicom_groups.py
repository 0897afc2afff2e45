"""Which DICOM files belong together, told by their headers alone."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_ssl.data.dicom_headers import PLANAR_MODALITIES, is_multiframe, numbers, open_header

if TYPE_CHECKING:
    from pydicom import Dataset

TAGS = [
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "ImageType",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "AcquisitionNumber",
    "AcquisitionTime",
    "EchoTime",
    "EchoNumbers",
    "InversionTime",
    "TemporalPositionIdentifier",
    "TriggerTime",
    "DiffusionBValue",
    "DiffusionGradientOrientation",
]
SPLITTERS = TAGS[10:]
"""What tells the volumes of one series apart when their slices share positions, in no order of preference."""

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
DIRECTORY = "1.2.840.10008.1.3.10"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


@dataclass(frozen=True)
class DicomGroup:
    """Files that make up one source.

    Args:
        files: in the order they were found.
        lone: whether it is one picture or film rather than a stack of slices.
        digest: eight hexadecimal digits that tell groups of one folder apart.
    """

    files: tuple[Path, ...]
    lone: bool
    digest: str


def is_dicom(path: Path) -> bool:
    """Whether the file has DICOM's mark behind the preamble."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def group_dicom(
    files: Sequence[Path], progress: Callable[[str], None] | None = None
) -> tuple[list[DicomGroup], list[tuple[Path, str]]]:
    """Return the files by series, orientation, size and, where positions repeat, echo, time and so on.

    The second list holds what is no image or cannot be opened, each with the reason.
    """
    stacks: dict[tuple[Any, ...], list[tuple[Path, Dataset]]] = defaultdict(list)
    rejected: list[tuple[Path, str]] = []
    for count, path in enumerate(files, 1):
        if progress is not None and count % 200 == 0:
            progress(f"{count} of {len(files)} DICOM headers read")
        try:
            header = open_header(path, TAGS)
            if header.get("SOPClassUID") == DIRECTORY or header.file_meta.get("MediaStorageSOPClassUID") == DIRECTORY:
                continue
            reason = _refusal(header)
            if reason is None:
                stacks[_key(path, header)].append((path, header))
        except ValueError as error:
            reason = str(error).removeprefix(f"{path}: ")
        if reason is not None:
            rejected.append((path, reason))
    groups = [
        DicomGroup(tuple(path for path, _ in part), key[0] == "lone", _digest((key, number)))
        for key, stack in stacks.items()
        for number, part in enumerate(_volumes(stack))
    ]
    return groups, rejected


def _refusal(header: Dataset) -> str | None:
    """Say why this is not an image to learn from."""
    modality = str(header.get("Modality") or "")
    if modality in NOT_IMAGES:
        return f"{NOT_IMAGES[modality]}, not an image"
    if not header.get("Rows") or not header.get("Columns"):
        return "the DICOM file holds no image"
    if "LOCALIZER" in (header.get("ImageType") or ()):
        return "a localizer, not a scan"
    captured = str(header.get("SOPClassUID") or "").startswith(SECONDARY_CAPTURE)
    if captured and modality in ("CT", "MR", "PT") and not header.get("ImagePositionPatient"):
        return "a screenshot, not a scan"
    return None


def _key(path: Path, header: Dataset) -> tuple[Any, ...]:
    planar = header.get("Modality") in PLANAR_MODALITIES and not header.get("ImagePositionPatient")
    if planar or is_multiframe(header):
        return "lone", str(path)
    series = str(header.get("SeriesInstanceUID") or path.parent)
    # slices of one stack differ in the sixth digit by rounding
    orientation = tuple(round(value, 3) + 0.0 for value in numbers(header, "ImageOrientationPatient", path))
    return "stack", series, orientation, int(header.Rows), int(header.Columns)


def _volumes(stack: list[tuple[Path, Dataset]]) -> list[list[tuple[Path, Dataset]]]:
    """Split a stack in which positions repeat by what explains the repetition; leave it whole if nothing does."""
    if _unique(stack):
        return [stack]
    for tags in ([tag] for tag in SPLITTERS):
        parts = _split(stack, tags)
        if len(parts) > 1 and all(map(_unique, parts)):
            return parts
    parts = _split(stack, [tag for tag in SPLITTERS if tag != "AcquisitionTime"])
    return parts if all(map(_unique, parts)) else [stack]


def _split(stack: list[tuple[Path, Dataset]], tags: Iterable[str]) -> list[list[tuple[Path, Dataset]]]:
    parts: dict[tuple[str, ...], list[tuple[Path, Dataset]]] = defaultdict(list)
    for path, header in stack:
        parts[tuple(str(header.get(tag)) for tag in tags)].append((path, header))
    return [parts[key] for key in sorted(parts)]


def _unique(stack: list[tuple[Path, Dataset]]) -> bool:
    """Whether no two images share a position; copies of one image may, and images without a position have none."""
    images = {str(h.get("SOPInstanceUID") or p): str(h.get("ImagePositionPatient") or p) for p, h in stack}
    return len(set(images.values())) == len(images)


def _digest(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:8]
