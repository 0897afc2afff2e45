"""Group DICOM files into series by their headers."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from monai_ssl.io.dicom.enhanced import frame_headers
from monai_ssl.io.dicom.headers import (
    PLANAR_MODALITIES,
    is_enhanced,
    is_mosaic,
    is_multiframe,
    open_header,
    quiet,
    refusal,
)
from monai_ssl.io.dicom.marks import NEEDED, Slice, slice_of
from monai_ssl.io.dicom.volumes import split
from monai_ssl.io.session_hints import UNKNOWN, Session
from monai_ssl.io.volume import ReadError, reading

TAGS: tuple[str | int, ...] = (
    *("SOPClassUID", "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality"),
    *("Rows", "Columns", "NumberOfFrames", "PhotometricInterpretation"),
    *NEEDED,
)

DIRECTORY = "1.2.840.10008.1.3.10"
INDEX = "an index of DICOM files (DICOMDIR), not an image"


@dataclass(frozen=True)
class DicomGroup:
    """Files that make up one source.

    Args:
        files: in the order they were found.
        lone: whether it is one picture or film rather than a stack of slices.
        digest: eight hexadecimal digits that tell groups of one folder apart.
        patient: PatientID of the header.
        session: study and frame of reference.
    """

    files: tuple[Path, ...]
    lone: bool
    digest: str
    patient: str = ""
    session: Session = UNKNOWN


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


def group_dicom(
    files: Sequence[Path], progress: Callable[[str], None] | None = None
) -> tuple[list[DicomGroup], list[tuple[Path, str]]]:
    """Return the files by series and size, and the volumes of a series apart, see :func:`split`.

    The second list holds what is no image, is incomplete or cannot be opened, each with the reason.
    """
    # once for all: loggers of the whole process look for their level anew, which takes a millisecond
    with quiet():
        return _grouped(files, progress)


def _grouped(
    files: Sequence[Path], progress: Callable[[str], None] | None
) -> tuple[list[DicomGroup], list[tuple[Path, str]]]:
    series: dict[tuple[str, ...], list[Slice]] = defaultdict(list)
    sessions: dict[tuple[str, ...], Session] = {}
    groups: list[DicomGroup] = []
    rejected: list[tuple[Path, str]] = []
    for count, path in enumerate(files, 1):
        if progress is not None and count % 200 == 0:
            progress(f"{count} of {len(files)} DICOM headers read")
        try:
            with reading(path, "the DICOM header holds values that cannot be read", "repair the file"):
                found = _look(path)
        except ReadError as error:
            found = str(error).removeprefix(f"{path}: ")
        if isinstance(found, str):
            rejected.append((path, found))
        elif isinstance(found, DicomGroup):
            groups.append(found)
        else:
            series[found[0]].append(found[1])
            sessions.setdefault(found[0], found[2])
    for identity, slices in series.items():
        for number, part in enumerate(split(slices)):
            paths = tuple(item.key for item in part.slices if isinstance(item.key, Path))
            if part.problem is None:
                digest = hashlib.sha256(repr((identity, number)).encode()).hexdigest()[:8]
                groups.append(DicomGroup(paths, False, digest, identity[0], sessions[identity]))
            else:
                rejected += [(path, part.problem) for path in paths]
    return groups, rejected


def _look(path: Path) -> tuple[tuple[str, ...], Slice, Session] | DicomGroup | str:
    """Return a slice, its series and session, a lone picture or file of many, or why it is neither."""
    header = open_header(path, TAGS)
    if DIRECTORY in (header.get("SOPClassUID"), header.file_meta.get("MediaStorageSOPClassUID")):
        return INDEX
    reason = refusal(header)
    if reason is not None:
        return reason
    session = Session(*(str(header.get(tag) or "") for tag in ("StudyInstanceUID", "FrameOfReferenceUID")))
    is_picture = header.get("Modality") in PLANAR_MODALITIES and not header.get("ImagePositionPatient")
    if is_multiframe(header) or is_mosaic(header) or (is_picture and not is_enhanced(header)):
        return DicomGroup((path,), True, "", str(header.get("PatientID") or ""), session)
    identity = [str(header.get(tag) or "") for tag in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID")]
    size = [str(int(header.get(tag))) for tag in ("Rows", "Columns")]
    slice_header = frame_headers(open_header(path))[0] if is_enhanced(header) else header
    # files without a series belong to those beside them
    return (*identity, *size, "" if identity[2] else str(path.parent)), slice_of(slice_header, path), session
