"""Find what can be read below a folder: files of volumes and pictures, and the series that DICOM files form."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from monai_ssl.io.companions import companions
from monai_ssl.io.dicom.groups import DicomGroup, group_dicom, is_dicom
from monai_ssl.io.patient_hints import patient_hints
from monai_ssl.io.volume import ReadError

KINDS = {
    ".nii": "nifti",
    ".nii.gz": "nifti",
    ".hdr": "nifti",
    ".nrrd": "nrrd",
    ".nhdr": "nrrd",
    ".mha": "metaimage",
    ".mhd": "metaimage",
    ".png": "image",
    ".jpg": "image",
    ".jpeg": "image",
}
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
UNSUPPORTED = {
    ".bmp": "save it as PNG",
    ".gif": "save it as PNG",
    ".tif": "save it as PNG",
    ".tiff": "save it as PNG",
    ".webp": "save it as PNG",
    ".npy": "save it as NIfTI, which keeps spacing and orientation",
    ".npz": "save it as NIfTI, which keeps spacing and orientation",
    ".mgz": "convert it to NIfTI",
    ".mnc": "convert it to NIfTI",
}

Rejected = list[tuple[Path, str]]


class _Found(NamedTuple):
    files: tuple[Path, ...]
    kind: str
    place: str
    is_folder: bool
    digest: str = ""


@dataclass(frozen=True)
class Source:
    """Something to read.

    Args:
        files: one file, a header and its data, or the files of one DICOM series in no particular order.
        kind: ``"dicom"``, ``"nifti"``, ``"nrrd"``, ``"metaimage"`` or ``"image"``.
        name: path relative to the root; may identify a patient, for the private report only.
        patient_hint: the patient's name as guessed from the path; as private as ``name``.
    """

    files: tuple[Path, ...]
    kind: str
    name: str
    patient_hint: str


def discover(root: Path, progress: Callable[[str], None] | None = None) -> tuple[list[Source], Rejected]:
    """Find every scan at or below ``root``; only headers are read, and of DICOM only.

    Hidden files and folders are left out, links are followed once.

    Args:
        root: a folder, or a single file.
        progress: called with a sentence from time to time.

    Returns:
        The sources sorted by name, and files that look like images but cannot be, each with the reason.

    Raises:
        ReadError: when ``root`` does not exist.
    """
    root = Path(root)
    if not root.exists():
        raise ReadError(f"{root}: there is no such file or folder; check the path.")
    base = root if root.is_dir() else root.parent
    found: list[_Found] = []
    dicom: list[Path] = []
    rejected: Rejected = []
    for count, path in enumerate(_files(root), 1):
        if progress is not None and count % 200 == 0:
            progress(f"{count} files looked at")
        try:
            _sort_in(path, base, found, dicom, rejected)
        except OSError as error:
            rejected.append((path, f"cannot be opened: {error.strerror or error}"))
    groups, refused = group_dicom(dicom, progress)
    found += [_of_group(group, base) for group in groups]
    hints = patient_hints([(entry.place, entry.is_folder) for entry in found], base.resolve().name)
    shared = Counter(entry.place for entry in found)
    sources = []
    for entry, hint in zip(found, hints, strict=True):
        name = entry.place if shared[entry.place] == 1 else f"{entry.place}#{entry.digest}"
        sources.append(Source(entry.files, entry.kind, name, hint))
    return sorted(sources, key=lambda source: source.name), sorted(rejected + refused)


def _of_group(group: DicomGroup, base: Path) -> _Found:
    """A lone picture or film is named by its file, a series by its folder."""
    place = group.files[0] if group.lone else Path(os.path.commonpath([file.parent for file in group.files]))
    return _Found(group.files, "dicom", place.relative_to(base).as_posix(), not group.lone, group.digest)


def _sort_in(path: Path, base: Path, found: list[_Found], dicom: list[Path], rejected: Rejected) -> None:
    suffix = _suffix(path)
    if suffix in KINDS:
        files, problem = companions(path)
        if problem is None:
            found.append(_Found(files, KINDS[suffix], path.relative_to(base).as_posix(), is_folder=False))
        else:
            rejected.append((path, problem))
    elif suffix in UNSUPPORTED:
        rejected.append((path, f"{suffix} files are not read; {UNSUPPORTED[suffix]}"))
    elif suffix in DICOM_SUFFIXES or is_dicom(path):
        dicom.append(path)


def _suffix(path: Path) -> str:
    name = path.name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else path.suffix.lower()


def _files(root: Path) -> Iterator[Path]:
    """Yield the visible files below ``root`` in the order of their names; a folder is entered once, links or not."""
    if root.is_file():
        yield root
        return
    seen: set[str] = set()
    for folder, children, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            children.clear()
            continue
        seen.add(real)
        children[:] = sorted(child for child in children if not child.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            # a pipe or a device would block when opened
            if not name.startswith(".") and path.is_file():
                yield path
