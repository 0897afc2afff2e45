"""A folder of fetched files with a limit: what was opened longest ago makes room, whatever process fetched it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from monai_ssl.arguments import byte_size
from monai_ssl.files import ASIDE, atomic
from monai_ssl.places import cache_root

SIZE = "MONAI_SSL_CACHE_SIZE"
"""Variable of the environment: how much scans may take of the disk."""
_DEFAULT = "100GB"
_LOCK, _LEDGER = ".lock", ".bytes"
_FILLED = 0.9
"""Share of the limit that is left after room was made, so that the folder is not listed for each file."""
_FORGOTTEN = 86400
"""Seconds after which a file that is still being written was left by a killed process."""


@dataclass(frozen=True)
class Cache:
    """Files by name, together within a limit; those that are being written count whole from their beginning.

    Args:
        folder: of the files; made if missing.
        limit: bytes.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     cache = Cache(Path(folder), limit=10)
    ...     for name in "abc":
    ...         with cache.adding(name, 4) as file:
    ...             _ = file.write(b"1234")
    ...     sorted(path.name for path in cache.folder.glob("[a-z]"))
    ['b', 'c']
    """

    folder: Path
    limit: int

    @contextmanager
    def adding(self, name: str, size: int) -> Iterator[IO[bytes]]:
        """Make room for a file and yield it; it gets its name when it is whole.

        Raises:
            ValueError: when it alone is larger than the limit.
        """
        if size > self.limit:
            raise ValueError(
                f"needs {size} bytes of the cache {self.folder}, whose limit is {self.limit}: raise `{SIZE}`, "
                "such as 100GB"
            )
        from filelock import FileLock

        with atomic(self.folder / name) as file:
            with FileLock(self.folder / _LOCK):
                self._make_room(size)
                file.truncate(size)
            yield file

    def use(self, name: str) -> bool:
        """Mark a file as used now; return whether it is there."""
        try:
            os.utime(self.folder / name)
        except FileNotFoundError:
            return False
        return True

    def _make_room(self, size: int) -> None:
        ledger = self.folder / _LEDGER
        try:
            held = int(ledger.read_text())
        except (OSError, ValueError):
            held = self.limit
        if held + size > self.limit:
            held = self._delete_oldest(size)
        ledger.write_text(str(held + size))

    def _delete_oldest(self, size: int) -> int:
        """Return the bytes that are held afterwards."""
        found = []
        for entry in os.scandir(self.folder):
            if entry.name in (_LOCK, _LEDGER):
                continue
            # one that another process is done with in this moment is counted the next time
            with suppress(FileNotFoundError):
                stat = entry.stat()
                found.append((stat.st_mtime, stat.st_size, Path(entry.path)))
        held = sum(length for _, length, _ in found)
        if held + size <= self.limit:
            return held
        for used, length, path in sorted(found):
            if held + size <= _FILLED * self.limit:
                break
            being_written = path.name.startswith(ASIDE) and time.time() - used < _FORGOTTEN
            if not being_written:
                path.unlink(missing_ok=True)
                held -= length
        return held


def scan_cache() -> Cache:
    """Return the cache of scans that the environment asks for.

    Raises:
        ValueError: when its limit is no size.
    """
    return Cache(cache_root() / "scans", byte_size(**{SIZE: os.environ.get(SIZE) or _DEFAULT}))


__all__ = ["Cache", "scan_cache"]
