"""Take named files out of a wheel or source archive, trusting nothing that the archive says about paths or sizes."""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import IO, cast

MEMBER_LIMIT = 256 * 2**20
"""Bytes that one unpacked file may hold; the largest sample has 35 MB."""

_CHUNK = 2**20


def check_sha256(file: Path, expected: str) -> None:
    """Compare the content of ``file`` with its pinned hash.

    Raises:
        ValueError: when they differ.
    """
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    if digest.hexdigest() != expected:
        raise ValueError(
            f"{file.name} has sha256 {digest.hexdigest()} where {expected} is pinned: it is not the file that was "
            "reviewed; delete it and check the package index that served it."
        )


def find_members(archive: Path, pattern: str) -> list[str]:
    """Return the names of the files in ``archive`` that match ``pattern``, sorted.

    Args:
        archive: a wheel or zip, or a ``.tar.gz``.
        pattern: ``folder/name``, where the last part may hold ``*``; folders are taken literally.

    Raises:
        ValueError: when the archive cannot be read, or a name that matches is not a plain relative path.
    """
    folder, last = PurePosixPath(pattern).parent, PurePosixPath(pattern).name
    with _opened(archive) as opened:
        names = opened.names()
    found = [n for n in names if PurePosixPath(n).parent == folder and fnmatchcase(PurePosixPath(n).name, last)]
    for name in found:
        _refuse_unsafe(name, archive)
    return sorted(found)


def unpack(archive: Path, members: Mapping[str, Path], *, limit: int = MEMBER_LIMIT) -> int:
    """Write the named members to the files that the caller chose, and nothing else.

    Each file appears under its name only when complete.

    Args:
        archive: a wheel or zip, or a ``.tar.gz``.
        members: name in the archive -> file to write.
        limit: bytes that one member may hold, whatever the archive declares.

    Returns:
        Bytes written.

    Raises:
        ValueError: when a member is missing, is not a regular file, has an unsafe name or is too large, or the archive
            is damaged.
    """
    with _opened(archive) as opened:
        return sum(_write(opened, archive, name, file, limit) for name, file in members.items())


class _Zip:
    def __init__(self, file: zipfile.ZipFile) -> None:
        self.file = file

    def names(self) -> list[str]:
        return [entry.filename for entry in self.file.infolist() if not entry.is_dir()]

    def open(self, name: str) -> IO[bytes] | None:
        entry = self.file.getinfo(name)
        kind = stat.S_IFMT(entry.external_attr >> 16)
        return self.file.open(entry) if kind in (0, stat.S_IFREG) else None


class _Tar:
    def __init__(self, file: tarfile.TarFile) -> None:
        self.file = file

    def names(self) -> list[str]:
        return [entry.name for entry in self.file.getmembers() if not entry.isdir()]

    def open(self, name: str) -> IO[bytes] | None:
        entry = self.file.getmember(name)
        return self.file.extractfile(entry) if entry.isreg() else None


@contextmanager
def _opened(archive: Path) -> Iterator[_Zip | _Tar]:
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                yield _Zip(file)
        else:
            with tarfile.open(archive, "r:gz") as tar:
                yield _Tar(tar)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError) as error:
        raise ValueError(f"{archive.name} cannot be unpacked ({error}); delete {archive} and try again.") from error


def _write(opened: _Zip | _Tar, archive: Path, name: str, file: Path, limit: int) -> int:
    _refuse_unsafe(name, archive)
    try:
        source = opened.open(name)
    except KeyError:
        raise ValueError(f"{archive.name} has no member {name}: another version of the package is needed.") from None
    if source is None:
        raise ValueError(f"The member {name} of {archive.name} is a link or device, not a file; it is not unpacked.")
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(dir=file.parent, prefix=".unpacking-")
    try:
        with source, os.fdopen(handle, "wb") as out:
            size = _copy(source, cast("IO[bytes]", out), limit)
            if size > limit:
                raise ValueError(f"The member {name} of {archive.name} is larger than {limit} bytes; it is refused.")
        Path(aside).replace(file)
    finally:
        Path(aside).unlink(missing_ok=True)
    return size


def _copy(source: IO[bytes], out: IO[bytes], limit: int) -> int:
    """Count what is really unpacked, since a bomb lies about its size; stop at the first byte too many."""
    size = 0
    while chunk := source.read(min(_CHUNK, limit + 1 - size)):
        out.write(chunk)
        size += len(chunk)
    return size


def _refuse_unsafe(name: str, archive: Path) -> None:
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or "\\" in name or ":" in name or ".." in parts:
        raise ValueError(f"The member {name!r} of {archive.name} points outside the archive; nothing is unpacked.")
