"""Find the images below a folder: volumes, pictures and DICOM series."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from monai_ssl.io.dicom.groups import INDEX, DicomGroup, ReadHeaders, each_header, group_dicom, is_dicom
from monai_ssl.io.formats import format_of, remedy_for
from monai_ssl.io.patient_hints import Place, Rule, patient_hints
from monai_ssl.io.session_hints import UNKNOWN, Session, session_of_path
from monai_ssl.io.volume import ReadError
from monai_ssl.io.walk import PassedOver, visible_files

Rejected = list[tuple[Path, str]]
NO_IMAGE = "no image by its name and content"


class _Found(NamedTuple):
    files: tuple[Path, ...]
    kind: str
    place: str
    is_folder: bool
    digest: str = ""
    patient: str = ""
    session: Session = UNKNOWN


@dataclass(frozen=True)
class Source:
    """Something to read.

    Args:
        files: one file, a header and its data, or the files of one DICOM series in no particular order.
        kind: of its :class:`monai_ssl.io.formats.Format`, like ``"dicom"`` or ``"nifti"``.
        name: path relative to the root; may identify a patient, for the private report only.
        patient_hint: the patient's name by tag or path; as private as ``name``.
        patient_basis: how it was found, see :mod:`monai_ssl.io.patient_hints`.
        session: its visit and frame of coordinates by header or path, where one tells; as private.
    """

    files: tuple[Path, ...]
    kind: str
    name: str
    patient_hint: str
    patient_basis: str = ""
    session: Session = UNKNOWN


class Findings(NamedTuple):
    """Everything below a folder: each file is in one source, rejected or passed over.

    Args:
        sources: sorted by name.
        rejected: files that look like images but cannot be, each with the reason.
        passed_over: what is no image, or hidden.
    """

    sources: list[Source]
    rejected: Rejected
    passed_over: list[PassedOver]


def discover(root: Path) -> tuple[list[Source], Rejected]:
    """Find every scan at or below ``root``; see :func:`survey`, of which this is the part about images."""
    found = survey(root)
    return found.sources, found.rejected


def survey(root: Path, patients: Rule | None = None, read: ReadHeaders = each_header) -> Findings:
    """Find every scan at or below ``root``, and say of every other file why it is none.

    Only headers are read, and of DICOM only. Hidden files and folders are left out, links are followed once.

    Args:
        root: a folder, or a single file.
        patients: the user's way to tell them by the path.
        read: how headers of DICOM are read, see :func:`monai_ssl.io.dicom.groups.group_dicom`.

    Raises:
        ReadError: when ``root`` does not exist.
    """
    root = Path(root)
    if not root.exists():
        raise ReadError(f"{root}: there is no such file or folder; check the path.")
    base = root if root.is_dir() else root.parent
    search = _Search(base)
    for path in visible_files(root, search.passed_over):
        search.look_at(path)
    search.look_into_the_rest()
    groups, refused = group_dicom(search.dicom, read)
    search.passed_over += [PassedOver(*entry) for entry in refused if entry[1] == INDEX]
    rejected = search.rejected + [entry for entry in refused if entry[1] != INDEX]
    found = search.found + [_of_group(group, base) for group in groups]
    return Findings(_as_sources(found, base, patients), sorted(rejected), sorted(search.passed_over))


def _as_sources(found: list[_Found], base: Path, patients: Rule | None) -> list[Source]:
    places = [Place(entry.place, entry.is_folder, entry.patient) for entry in found]
    hints = patient_hints(places, base.resolve().name, patients)
    shared = Counter(entry.place for entry in found)
    sources = []
    for entry, hint in zip(found, hints, strict=True):
        name = entry.place if shared[entry.place] == 1 else f"{entry.place}#{entry.digest}"
        session = entry.session if any(entry.session) else session_of_path(entry.place)
        sources.append(Source(entry.files, entry.kind, name, hint.patient, hint.basis, session))
    return sorted(sources, key=lambda source: source.name)


def _of_group(group: DicomGroup, base: Path) -> _Found:
    """A lone picture or film is named by its file, a series by its folder."""
    place = group.files[0] if group.lone else Path(os.path.commonpath([file.parent for file in group.files]))
    name = place.relative_to(base).as_posix()
    return _Found(group.files, "dicom", name, not group.lone, group.digest, group.patient, group.session)


class _Search:
    """Sorts the files below a folder: first by their names, then by what the rest begins with."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.found: list[_Found] = []
        self.dicom: list[Path] = []
        self.rest: list[Path] = []
        self.rejected: Rejected = []
        self.passed_over: list[PassedOver] = []

    def look_at(self, path: Path) -> None:
        entry = format_of(path.name)
        if entry is None:
            self.rest.append(path)
        elif entry.kind == "dicom":
            self.dicom.append(path)
        else:
            with self._rejecting(path):
                files, problem = entry.companions(path)
                if problem is None:
                    name = path.relative_to(self.base).as_posix()
                    self.found.append(_Found(files, entry.kind, name, is_folder=False))
                else:
                    self.rejected.append((path, problem))

    def look_into_the_rest(self) -> None:
        """Data that a header spoke of belong to it; DICOM may have any name."""
        taken = {os.path.normpath(file) for entry in self.found for file in entry.files[1:]}
        for path in self.rest:
            if os.path.normpath(path) in taken:
                continue
            with self._rejecting(path):
                remedy = remedy_for(path.name)
                if is_dicom(path):
                    self.dicom.append(path)
                elif remedy is not None:
                    self.rejected.append((path, remedy))
                else:
                    self.passed_over.append(PassedOver(path, NO_IMAGE))

    @contextmanager
    def _rejecting(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.rejected.append((path, f"cannot be opened: {error.strerror or error}"))
