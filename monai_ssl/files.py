"""Atomic file writes (write aside, fsync, rename), JSON that is read with an error for people, CSV."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

ASIDE = ".aside-"
"""Prefix of a file that is being written; one that is found later was left by an interrupted process."""
_OF_DISKS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)


@contextmanager
def atomic(path: Path, mode: int = 0o644) -> Iterator[IO[bytes]]:
    """Write aside, flush to the disk, rename: a failure or a kill leaves what was under the name before.

    Raises:
        OSError: with number and ``path``, when the disk refuses, whatever the writer makes of that.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{ASIDE}{os.uname().nodename[:64]}-{os.getpid()}-{path.name}")
    try:
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except (OSError, RuntimeError) as error:
        number = _refusal(error)
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(path)) from None
    finally:
        aside.unlink(missing_ok=True)
    _sync_folder(path.parent)


def sweep(*folders: Path) -> None:
    """Remove what killed processes were writing into ``folders``; call it only where no other process writes."""
    for folder in folders:
        for left in folder.glob(f"{ASIDE}*"):
            left.unlink(missing_ok=True)


def write_json(path: Path, content: Any, mode: int = 0o644) -> None:
    """Write JSON; a value that is not finite is refused."""
    with atomic(path, mode) as file:
        file.write(json.dumps(content, indent=1, allow_nan=False).encode())


def read_json(path: Path, default: Any = None) -> Any:
    """Return what a JSON file holds, or ``default`` where there is none.

    Raises:
        ValueError: when the file is damaged; NaN and infinity are no JSON.
    """
    if not path.exists():
        return default
    try:
        return json.loads(path.read_bytes(), parse_constant=_refuse)
    # nesting without end is the one damage that is no ValueError
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}): it is damaged; restore it or make it again.") from error


def csv_text(rows: Iterable[Iterable[Any]]) -> str:
    r"""Return a table of comma-separated values whose lines end alike on all systems, with a line feed.

    >>> csv_text([("image", "dice"), ("a.nii.gz", 0.5)])
    'image,dice\na.nii.gz,0.5\n'
    """
    lines = []
    for row in rows:
        # the writer quotes the characters of its line end: so it does a lone carriage return
        csv.writer(text := io.StringIO(newline=""), lineterminator="\r\n").writerow(row)
        lines.append(text.getvalue().removesuffix("\r\n") + "\n")
    return "".join(lines)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number")


def _refusal(error: BaseException | None) -> int | None:
    """Return why the disk refused what was written; PyTorch and NumPy raise errors of their own in its place."""
    while error is not None and not isinstance(error, OSError):
        error = error.__context__
    # one that names a file is not of this one
    if error is None or error.filename is not None:
        return None
    if error.errno is None and re.search("free space|requested and", str(error)):
        return errno.ENOSPC
    return error.errno if error.errno in _OF_DISKS else None


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
