"""Lock files that one process holds; the system frees them when it ends, however that happens."""

from __future__ import annotations

import atexit
import os
from contextlib import suppress
from pathlib import Path
from typing import IO

_held: dict[Path, IO[str]] = {}


def acquire(path: Path, busy: str, *, shared: bool = False) -> None:
    """Hold the lock file ``path`` until :func:`release` or the end of this process; its folder exists.

    Args:
        path: gets the number of this process and the name of its machine.
        busy: message for a person when another process holds it, with ``{holder}`` where that one is to stand.
        shared: hold it together with others that share it.

    Raises:
        ValueError: when another process holds it, or this one already does.
    """
    import fcntl

    file = path.open("a+")
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise ValueError(busy.format(holder=holder)) from None
    file.seek(0)
    file.truncate()
    file.write(f"pid {os.getpid()} on {os.uname().nodename}\n")
    file.flush()
    _held[path.resolve()] = file


def release(path: Path) -> None:
    """Let go of a lock file, if this process holds it."""
    file = _held.pop(path.resolve(), None)
    if file is not None:
        file.close()


def _forget() -> None:
    """Close in a forked process, such as a loader worker: it may outlive the holder, whose lock it would keep."""
    for file in _held.values():
        with suppress(OSError):
            file.close()
    _held.clear()


os.register_at_fork(after_in_child=_forget)
atexit.register(_forget)

__all__ = ["acquire", "release"]
