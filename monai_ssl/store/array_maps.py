"""Open memory maps of the arrays of stores, compressed or not, and whether their files are still whole."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from monai_ssl.store.compressed import CompressedArray, Windows
from monai_ssl.store.layout import array_path

_MOST = 16


class _Map(NamedTuple):
    """An open memory map, and the number of the file that it is of."""

    array: Windows
    inode: int


_maps: OrderedDict[Path, _Map] = OrderedDict()


class ArrayFiles(Protocol):
    """Where the arrays of a store lie, by the records of their scans."""

    advice: str
    """What to do when a file is damaged."""

    def path(self, record: Mapping[str, Any]) -> Path:
        """Return the file of an array."""

    def get(self, record: Mapping[str, Any]) -> None:
        """Let the file be there; raises ``ValueError`` where it cannot be had."""

    def damage(self, record: Mapping[str, Any]) -> str | None:
        """Say in what a file is not whole, by its size alone; ``None`` when it is."""


class LocalFiles:
    """Arrays of a store in a folder.

    Args:
        store: the folder.
    """

    advice = "run `python -m monai_ssl prepare SRC STORE` again, which restores what is missing"

    def __init__(self, store: Path) -> None:
        self.store = store

    def path(self, record: Mapping[str, Any]) -> Path:
        return array_path(self.store, record)

    def get(self, record: Mapping[str, Any]) -> None:
        pass

    def damage(self, record: Mapping[str, Any]) -> str | None:
        return size_problem(self.path(record), record["bytes"])


def array_map(path: Path, shape: tuple[int, ...], dtype: np.dtype, size: int, get: Callable[[], None]) -> Windows:
    """Return the memory map of an array; a few stay open, since opening costs more than reading a window.

    What is cut off under an open map would end the process by a signal, without a word, so the size is looked at each
    time. A file that was removed can still be read through its map; one that was written again is opened.

    Args:
        path: of the ``.npy`` or ``.b2nd`` file.
        shape: that it must have.
        dtype: that it must have.
        size: bytes of the whole file.
        get: lets the file be there; called before it is opened.

    Raises:
        ValueError: when it cannot be had, or is another array, damaged or cut short.
    """
    stat = path.stat() if path.exists() else None
    if stat is not None and (problem := _shortness(stat.st_size, size)):
        raise ValueError(problem)
    known = _maps.get(path)
    if known is not None and (stat is None or known.inode == stat.st_ino):
        _maps.move_to_end(path)
        return known.array
    get()
    try:
        array = _opened(path, shape, dtype)
    except FileNotFoundError:
        # of a cache, in which another process made room in between
        get()
        array = _opened(path, shape, dtype)
    _maps[path] = _Map(array, 0 if stat is None else stat.st_ino)
    while len(_maps) > _MOST:
        _maps.popitem(last=False)
    return array


def size_problem(path: Path, size: int) -> str | None:
    """Say in what a file is not whole, by its size alone; ``None`` when it is."""
    try:
        return _shortness(path.stat().st_size, size)
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def _shortness(found: int, size: int) -> str | None:
    return None if found >= size else f"was cut short, to {found} of {size} bytes"


def _opened(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> Windows:
    try:
        array: Windows = (
            CompressedArray(path)
            if path.suffix == ".b2nd"
            else np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
        )
    except FileNotFoundError:
        raise
    except Exception as error:  # NumPy parses the header as Python, and a damaged one breaks that in many ways
        raise ValueError(f"cannot be opened ({error})") from error
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(f"cannot be opened (it is {array.dtype} {array.shape}, not {dtype} {shape})")
    return array


__all__ = ["ArrayFiles", "LocalFiles", "array_map", "size_problem"]
