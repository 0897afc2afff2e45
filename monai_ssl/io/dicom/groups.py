"""Group DICOM files into series by their headers."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

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


class Placed(NamedTuple):
    """A slice of a series, by its header.

    Args:
        series: what all slices of the series share.
        slice: where it lies.
        session: study and frame of reference.
    """

    series: tuple[str, ...]
    slice: Slice
    session: Session


Seen = Placed | DicomGroup | str
"""What a header says: a slice, a lone picture or file of many frames, or why it is neither."""
ReadHeaders = Callable[[Sequence[Path]], Iterable[Seen]]


def each_header(files: Sequence[Path]) -> Iterator[Seen]:
    """Yield what the header of each file says."""
    # once for all: loggers of the whole process look for their level anew, which takes a millisecond
    with quiet():
        yield from map(_seen, files)


def read_headers(files: Sequence[Path]) -> list[Seen]:
    """Return what the header of each file says."""
    return list(each_header(files))


def group_dicom(
    files: Sequence[Path], read: ReadHeaders = each_header
) -> tuple[list[DicomGroup], list[tuple[Path, str]]]:
    """Return the files by series and size, and the volumes of a series apart, see :func:`split`.

    The second list holds what is no image, is incomplete or cannot be opened, each with the reason.

    Args:
        files: of DICOM.
        read: as :func:`each_header`, in other processes, say.
    """
    series: dict[tuple[str, ...], list[Slice]] = defaultdict(list)
    sessions: dict[tuple[str, ...], Session] = {}
    groups: list[DicomGroup] = []
    rejected: list[tuple[Path, str]] = []
    shared: dict[Any, Any] = {}
    for path, seen in zip(files, read(files), strict=True):
        if isinstance(seen, str):
            rejected.append((path, seen))
        elif isinstance(seen, DicomGroup):
            groups.append(seen)
        else:
            series[seen.series].append(_lean(seen.slice, path, shared))
            sessions.setdefault(seen.series, seen.session)
    for identity, slices in series.items():
        for number, part in enumerate(split(slices)):
            paths = tuple(item.key for item in part.slices if isinstance(item.key, Path))
            if part.problem is None:
                digest = hashlib.sha256(repr((identity, number)).encode()).hexdigest()[:8]
                groups.append(DicomGroup(paths, False, digest, identity[0], sessions[identity]))
            else:
                rejected += [(path, part.problem) for path in paths]
    return groups, rejected


def _lean(item: Slice, path: Path, shared: dict[Any, Any]) -> Slice:
    """Return a slice that holds what millions of others say, too, once for all of them."""
    values = {name: getattr(item, name) for name in ("orientation", "spacing", "marks", "moments", "folder")}
    return replace(item, key=path, **{name: shared.setdefault(value, value) for name, value in values.items()})


def _seen(path: Path) -> Seen:
    try:
        with reading(path, "the DICOM header holds values that cannot be read", "repair the file"):
            return _look(path)
    except ReadError as error:
        return str(error).removeprefix(f"{path}: ")


def _look(path: Path) -> Seen:
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
    series = (*identity, *size, "" if identity[2] else str(path.parent))
    return Placed(series, slice_of(slice_header, path), session)
