"""Group DICOM files into series by their headers."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from monai_ssl.io.dicom.headers import PLANAR_MODALITIES, is_multiframe, numbers, open_header, quiet, refusal
from monai_ssl.io.volume import ReadError, reading

TAGS = [
    "SOPClassUID",
    "SOPInstanceUID",
    "PatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "ImageType",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "AcquisitionTime",
    "AcquisitionNumber",
    "EchoTime",
    "InversionTime",
    "TemporalPositionIdentifier",
    "TriggerTime",
    "DiffusionBValue",
    "DiffusionGradientOrientation",
]
SPLITTERS = TAGS[-8:]
"""What tells the volumes of one series apart when their slices share positions; the folder comes last."""
SINGLE_MARKS = [(i,) for i in range(len(SPLITTERS) + 1)]
JOINT_MARKS = tuple(range(1, len(SPLITTERS)))
"""All but the time of day and the folder, which would shatter a volume."""

DIRECTORY = "1.2.840.10008.1.3.10"
INDEX = "an index of DICOM files (DICOMDIR), not an image"
SAME_ORIENTATION = 2e-3
"""Slices of one stack differ in the direction cosines by rounding."""


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
    """Whether the file has DICOM's mark behind the preamble or, as in old archives, begins without either."""
    with path.open("rb") as file:
        head = file.read(132)
    return head[128:] == b"DICM" or _is_element(head[:8])


def _is_element(head: bytes) -> bool:
    """Whether eight bytes are tag, representation and length of the elements that come first: groups 2 and 8."""
    explicit = head[4:6].isalpha() and head[4:6].isupper()
    short = head[5:] == bytes(3) and head[4:5] <= b"@"
    return (head[:2] in (b"\2\0", b"\x08\0") and (explicit or short)) or (head[:2] == b"\0\x08" and explicit)


@dataclass(frozen=True)
class _Slice:
    path: Path
    series: tuple[str, ...]
    orientation: tuple[float, ...]
    position: tuple[float, ...]
    image: str
    marks: tuple[str, ...]


def group_dicom(
    files: Sequence[Path], progress: Callable[[str], None] | None = None
) -> tuple[list[DicomGroup], list[tuple[Path, str]]]:
    """Return the files by series, size, orientation and, where positions repeat, echo, time and so on.

    The second list holds what is no image or cannot be opened, each with the reason.
    """
    stacks: dict[tuple[str, ...], list[_Slice]] = defaultdict(list)
    groups: list[DicomGroup] = []
    rejected: list[tuple[Path, str]] = []
    for count, path in enumerate(files, 1):
        if progress is not None and count % 200 == 0:
            progress(f"{count} of {len(files)} DICOM headers read")
        try:
            with quiet(), reading(path, "the DICOM header holds values that cannot be read", "repair the file"):
                found = _look(path)
        except ReadError as error:
            found = str(error).removeprefix(f"{path}: ")
        if isinstance(found, str):
            rejected.append((path, found))
        elif isinstance(found, DicomGroup):
            groups.append(found)
        else:
            stacks[found.series].append(found)
    for series, stack in stacks.items():
        parts = [part for alike in _by_orientation(stack) for part in _by_volume(alike)]
        for number, part in enumerate(parts):
            digest = hashlib.sha256(repr((series, number)).encode()).hexdigest()[:8]
            groups.append(DicomGroup(tuple(item.path for item in part), lone=False, digest=digest))
    return groups, rejected


def _look(path: Path) -> _Slice | DicomGroup | str:
    """Return a slice, a lone picture or film, or the reason why it is neither."""
    header = open_header(path, TAGS)
    if DIRECTORY in (header.get("SOPClassUID"), header.file_meta.get("MediaStorageSOPClassUID")):
        return INDEX
    reason = refusal(header)
    if reason is not None:
        return reason
    position = numbers(header, "ImagePositionPatient", path)
    if is_multiframe(header) or (header.get("Modality") in PLANAR_MODALITIES and not position):
        return DicomGroup((path,), lone=True, digest="")
    identity = [str(header.get(tag) or "") for tag in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID")]
    size = [str(int(header.get(tag))) for tag in ("Rows", "Columns")]
    return _Slice(
        path=path,
        # files without a series belong to those beside them
        series=(*identity, *size, "" if identity[2] else str(path.parent)),
        orientation=numbers(header, "ImageOrientationPatient", path),
        position=tuple(round(value, 2) for value in position),
        image=str(header.get("SOPInstanceUID") or path),
        marks=(*(str(header.get(tag)) for tag in SPLITTERS), str(path.parent)),
    )


def _by_orientation(stack: list[_Slice]) -> list[list[_Slice]]:
    parts: list[list[_Slice]] = []
    for item in stack:
        alike = (part for part in parts if _same(part[0].orientation, item.orientation))
        part = next(alike, None)
        if part is None:
            parts.append([item])
        else:
            part.append(item)
    return parts


def _same(one: tuple[float, ...], two: tuple[float, ...]) -> bool:
    return len(one) == len(two) and all(abs(a - b) <= SAME_ORIENTATION for a, b in zip(one, two, strict=True))


def _by_volume(stack: list[_Slice]) -> list[list[_Slice]]:
    """Split a stack in which positions repeat by the mark that explains it, or by all; leave it whole if none does."""
    if _unique(stack):
        return [stack]
    for chosen in (*SINGLE_MARKS, JOINT_MARKS):
        parts: dict[tuple[str, ...], list[_Slice]] = defaultdict(list)
        for item in stack:
            parts[tuple(item.marks[i] for i in chosen)].append(item)
        if len(parts) > 1 and all(map(_unique, parts.values())):
            return [parts[key] for key in sorted(parts)]
    return [stack]


def _unique(stack: list[_Slice]) -> bool:
    """Whether no two images share a position; copies of one image may, and images without a position have none."""
    images = {item.image: item.position or item.path for item in stack}
    return len(set(images.values())) == len(images)
