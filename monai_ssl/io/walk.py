"""Walk through a folder so that no file vanishes: what is passed over is said."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

HIDDEN = "hidden: the name begins with a dot"
DANGLING = "a link to a file that is not there; fetch the file, as by `datalad get`"


class PassedOver(NamedTuple):
    """What is no image, or cannot be looked at.

    Args:
        path: a file, or a folder for all that is in it.
        reason: why.
        files: how many files that are.
    """

    path: Path
    reason: str
    files: int = 1


def visible_files(root: Path, passed_over: list[PassedOver]) -> Iterator[Path]:
    """Yield the visible files below ``root`` in the order of their names; a folder is entered once, links or not.

    Args:
        root: a folder, or a single file.
        passed_over: gets hidden files and folders, links to nothing, and folders that cannot be opened.
    """
    if root.is_file():
        yield root
        return

    def closed(error: OSError) -> None:
        passed_over.append(PassedOver(Path(error.filename), f"the folder cannot be opened: {error.strerror}", 0))

    seen: set[str] = set()
    for folder, children, names in os.walk(root, followlinks=True, onerror=closed):
        real = os.path.realpath(folder)
        if real in seen:
            children.clear()
            continue
        seen.add(real)
        hidden = [Path(folder, child) for child in children if child.startswith(".")]
        passed_over += [PassedOver(path, HIDDEN, count) for path in hidden if (count := _count(path))]
        children[:] = sorted(child for child in children if not child.startswith("."))
        for path in (Path(folder, name) for name in sorted(names)):
            if path.is_symlink() and not path.exists():
                passed_over.append(PassedOver(path, DANGLING, 0))
            # a pipe or a device would block when opened
            elif path.is_file() and path.name.startswith("."):
                passed_over.append(PassedOver(path, HIDDEN))
            elif path.is_file():
                yield path


def _count(folder: Path) -> int:
    """Return the number of files below a folder, without following links."""
    return sum(not Path(where, name).is_symlink() for where, _, names in os.walk(folder) for name in names)
