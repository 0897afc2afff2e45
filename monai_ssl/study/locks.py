"""File lock of a job, held by a live process on any machine."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from monai_ssl.files import read_json, write_json

BEAT = 10.0
"""Seconds between two signs of life."""
SILENCE = 120.0
"""Seconds without one after which a lock of another machine is stale."""


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Hold the lock ``path`` if nobody alive does; yields whether it is held.

    The file names process and host. It is stale when that process is gone (same host), or when the file was not
    touched for :data:`SILENCE` seconds, as its holder does every :data:`BEAT`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    owner = {"pid": os.getpid(), "host": os.uname().nodename, "thread": threading.get_ident()}
    # the look at the lock and its replacement are one step, or two could replace the same stale lock
    with FileLock(path.parent / ".guard"):
        taken = not is_alive(path)
        if taken:
            write_json(path, owner)
    if not taken:
        yield False
        return
    stop = threading.Event()
    beating = threading.Thread(target=_beat, args=(path, stop), daemon=True)
    beating.start()
    try:
        yield True
    finally:
        stop.set()
        beating.join()
        path.unlink(missing_ok=True)


def is_alive(path: Path) -> bool:
    """Whether the lock is held by a process that lives, as far as can be told from here."""
    try:
        owner = read_json(path)
        silent = time.time() - path.stat().st_mtime
    except (OSError, ValueError):
        return False
    if owner is None or silent > SILENCE:
        return False
    return owner["host"] != os.uname().nodename or _exists(owner["pid"])


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _beat(path: Path, stop: threading.Event) -> None:
    while not stop.wait(BEAT):
        try:
            os.utime(path)
        except OSError:
            return
