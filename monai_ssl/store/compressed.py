"""Compressed arrays of a store (blosc2): a window decodes the blocks that it touches, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from monai_ssl.io.blosc2_frame import Frame

BLOSC2 = "blosc2"
"""What records of compressed scans say."""
_CHUNK, _BLOCK = 64, 16
"""Voxels a side: chunks are compressed together, about as large as a window; blocks are decoded one by one."""
_LEVEL = 3


class Windows(Protocol):
    """What windows are read from: an array, or what reads as one."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype: ...

    def __getitem__(self, index: Any) -> np.ndarray: ...


class CompressedArray:
    """A compressed array that is indexed as NumPy's is by integers and slices.

    Args:
        path: of the ``.b2nd`` file; cut off while it is open, it would end the process, as a memory map does.

    Raises:
        ValueError: when blosc2 is not installed.
        RuntimeError: when the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        blosc2 = library()
        self._frame = Frame(path)
        # blosc2 tells what objects with code of their own are in a file, and refuses them
        array = blosc2.open(str(path), mode="r", mmap_mode="r", dparams={"nthreads": 1})
        if type(array) is not blosc2.NDArray:
            raise RuntimeError("it holds no array")
        self._array = array
        self.shape: tuple[int, ...] = tuple(array.shape)
        self.dtype: np.dtype = array.dtype

    def __getitem__(self, index: Any) -> np.ndarray:
        parts = index if isinstance(index, tuple) else (index,)
        if len(parts) > len(self.shape):
            raise IndexError(f"{len(parts)} indices for an array of {len(self.shape)} axes")
        hull: list[slice] = []
        rest: list[slice | int] = []
        for size, part in zip(self.shape, parts, strict=False):
            places = range(size)[part]
            if isinstance(places, int):
                hull.append(slice(places, places + 1))
                rest.append(0)
            else:
                ends = sorted((places[0], places[-1])) if places else (0, -1)
                hull.append(slice(ends[0], ends[1] + 1))
                rest.append(slice(None, None, places.step))
        # blosc2 takes what is empty for all
        if any(part.start == part.stop for part in hull):
            return np.empty(self.shape, self.dtype)[tuple(hull)][tuple(rest)]
        self._check_chunks((*hull, *(slice(0, size) for size in self.shape[len(hull) :])))
        window: np.ndarray = self._array[tuple(hull)]
        return window[tuple(rest)]

    @cached_property
    def _starts(self) -> np.ndarray:
        """Where each chunk of the grid begins in the file."""
        sides = self._array.chunks
        return self._frame.starts([-(-size // side) for size, side in zip(self.shape, sides, strict=True)])

    def _check_chunks(self, hull: Sequence[slice]) -> None:
        sides = self._array.chunks
        places = [range(part.start // side, -(-part.stop // side)) for part, side in zip(hull, sides, strict=True)]
        for place in product(*places):
            self._frame.check_chunk(int(self._starts[place]))


def compressed(array: np.ndarray) -> bytes:
    """Return the content of a file for :class:`CompressedArray`, the same bytes for the same array.

    Args:
        array: (C, *spatial).

    Raises:
        ValueError: when blosc2 is not installed.
    """
    blosc2 = library()
    chunks, blocks = ([1, *(min(side, size) for size in array.shape[1:])] for side in (_CHUNK, _BLOCK))
    # several threads would write the blocks of a chunk in the order in which they end
    settings = {"codec": blosc2.Codec.ZSTD, "clevel": _LEVEL, "filters": [blosc2.Filter.SHUFFLE], "nthreads": 1}
    whole = blosc2.asarray(np.ascontiguousarray(array), chunks=chunks, blocks=blocks, cparams=settings)
    content: bytes = whole.to_cframe()
    return content


def library() -> ModuleType:
    """Return blosc2.

    Raises:
        ValueError: when it is not installed.
    """
    try:
        import blosc2
    except ImportError as error:
        raise ValueError("Compressed stores need blosc2: `pip install blosc2`.") from error
    return blosc2


__all__ = ["BLOSC2", "CompressedArray", "Windows", "compressed", "library"]
