"""List the images below a folder, and find again what a path in a list names: for inference and downstream tasks."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from monai_ssl.io.dicom.groups import is_dicom
from monai_ssl.io.dicom.headers import open_header
from monai_ssl.io.discovery import Source, discover
from monai_ssl.io.formats import TITLES, by_kind, format_of, stem
from monai_ssl.io.label_names import looks_like_labels
from monai_ssl.io.patient_hints import TAG
from monai_ssl.io.volume import ReadError


class Named(NamedTuple):
    """An image below a folder.

    Args:
        name: relative to the folder, without the ending of its format.
        path: by which :func:`source_at` finds it again: a file, a folder of DICOM files or, where a folder holds
            several series, that with ``#`` and a digest.
        is_picture: whether its format holds nothing but pictures.
    """

    name: str
    path: str
    is_picture: bool

    @property
    def folder(self) -> str | None:
        """The first folder on the way to it, if there is one."""
        return self.name.partition("/")[0] if "/" in self.name else None


def images_in(place: str | Path, spatial_dims: int | None = None) -> list[str]:
    """Return the paths of the images at or below a folder; a DICOM series is named by its folder.

    What is named like a label map is left out, unless ``place`` is that very file.

    Args:
        place: a folder, or one file.
        spatial_dims: 3 leaves out formats of pictures.

    Raises:
        ReadError: when there is none, naming the formats that are read.
    """
    root = Path(place)
    if root.is_file():
        return [str(root)]
    found = [image.path for image in images_below(root) if not (spatial_dims == 3 and image.is_picture)]
    if not found:
        raise ReadError(f"{root} holds no image of the formats that are read: {TITLES}; check the path.")
    return found


def images_below(folder: Path) -> list[Named]:
    """Return what is below a folder except what is named like a label map."""
    return [entry for entry in scans_below(folder) if not looks_like_labels(entry.name)]


def scans_below(folder: Path) -> list[Named]:
    """Return all that can be read below a folder, label maps too; warn of files that look like it but cannot be."""
    sources, rejected = discover(folder)
    if rejected:
        path, reason = rejected[0]
        count = len(rejected)
        warnings.warn(f"{count} files below {folder} are not used, as {path.name}: {reason}", stacklevel=2)
    # several series directly in the folder are named ".#" and a digest
    paths = [f"{folder}{s.name[1:]}" if s.name.startswith(".#") else str(folder / s.name) for s in sources]
    return [Named(stem(s.name), path, by_kind(s.kind).is_picture) for s, path in zip(sources, paths, strict=True)]


def is_readable(path: str | Path) -> bool:
    """Whether a path names something in one of the formats, or a folder; nothing is said of its content."""
    place = Path(path)
    return format_of(place.name) is not None or not place.is_file() or is_dicom(place)


def place_of(path: str | Path) -> tuple[Path, str]:
    """Return the file or folder that a path names, and the digest of one series in it or nothing."""
    folder, _, digest = str(path).rpartition("#")
    if Path(path).exists() or not (folder and Path(folder).is_dir()):
        return Path(path), ""
    return Path(folder), digest


def source_at(path: str | Path) -> Source:
    """Return the one scan that a path names: a file, a folder of a DICOM series, or an entry of :func:`images_in`.

    Raises:
        ReadError: when there is none, or several.
    """
    place, digest = place_of(path)
    sources, rejected = discover(place)
    # a series may lie in several folders below its own, beside others
    own = [source for source in sources if source.name == (f".#{digest}" if digest else ".")]
    chosen = own or ([] if digest else sources)
    if len(chosen) == 1:
        return chosen[0]
    raise ReadError(f"{path}: {_not_one(chosen, rejected)}.")


def patient_id(path: Path) -> str:
    """Return the PatientID of what a path names, if that is DICOM; of a folder, its first file tells."""
    place, digest = place_of(path)
    try:
        if digest:
            hinted = source_at(path)
            return hinted.patient_hint if hinted.patient_basis == TAG else ""
        if place.is_dir():
            place = next(p for p in sorted(place.rglob("*")) if p.is_file() and is_dicom(p))
        elif format_of(place.name) not in (None, by_kind("dicom")) or not is_dicom(place):
            return ""
        return str(open_header(place, ("PatientID",)).get("PatientID") or "")
    except (ReadError, OSError, StopIteration):
        return ""


def files_at(path: str | Path) -> tuple[Path, ...]:
    """Return the files of the scan that a path names; of anything else the file, or those directly in the folder."""
    try:
        return source_at(path).files
    except ReadError:
        place = Path(path)
        return tuple(sorted(p for p in place.iterdir() if p.is_file())) if place.is_dir() else (place,)


def _not_one(sources: Sequence[Source], rejected: Sequence[tuple[Path, str]]) -> str:
    if sources:
        return f"{len(sources)} images found there, and one is needed; name one of them, like {sources[0].name}"
    return rejected[0][1] if rejected else f"there is no image of the formats that are read ({TITLES})"
