"""Headers in a file of blosc2, which must be right before it decodes: wrong ones would end the process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

_LENGTH, _CHUNKS, _TYPE, _BLOCK, _CHUNK = slice(11, 15), slice(39, 47), slice(48, 52), slice(53, 57), slice(58, 62)
"""Where a file has the lengths of its header and of all chunks, and those of a value, a block and a decoded chunk."""
_HEADER, _TYPE_SIZE, _DECODED, _BLOCK_SIZE, _SIZE = 32, 3, slice(4, 8), slice(8, 12), slice(12, 16)
"""Bytes of a chunk's header, and where it has the same, and the length of the chunk."""
_FLAGS, _ALIKE = 31, 0x70
"""Where it has flags, and those that our chunks may have: that all values are alike."""


class Frame:
    """Headers of a contiguous frame of C-Blosc2, as its document of the format describes them.

    Args:
        path: of a file; cut off while it is open, it ends the process, as a memory map does.

    Raises:
        RuntimeError: when the headers of the file, of its first chunk or of the list of chunks are damaged.
    """

    def __init__(self, path: Path) -> None:
        self._bytes = np.memmap(path, np.uint8, "r")
        if len(self._bytes) < _CHUNK.stop + _HEADER:
            raise RuntimeError("is damaged: it is too short")
        self._length, chunks = self._number(_LENGTH), self._number(_CHUNKS)
        self._type, self._block, self._chunk = map(self._number, (_TYPE, _BLOCK, _CHUNK))
        self._list = self._length + chunks
        self._header(self._list)
        # blosc2 looks at the first one when it opens the file
        if chunks:
            self.check_chunk(self._length)

    def starts(self, counts: Sequence[int]) -> np.ndarray:
        """Return where in the file each chunk of a grid begins; negative where it has none, since values are alike.

        Raises:
            RuntimeError: when the list in the file is not that of such a grid.
        """
        from blosc2 import decompress2

        header = self._header(self._list)
        content = self._bytes[self._list : self._list + _little(header[_SIZE])].tobytes()
        starts = np.frombuffer(decompress2(content), np.int64)
        if len(starts) != np.prod(counts):
            raise RuntimeError("is damaged: the list of its chunks is not theirs")
        return np.where(starts < 0, starts, starts + self._length).reshape(counts)

    def check_chunk(self, start: int) -> None:
        """Compare the header of a chunk with that of the file.

        Raises:
            RuntimeError: when it is damaged.
        """
        if start < 0:
            return
        header = self._header(start)
        found = int(header[_TYPE_SIZE]), _little(header[_BLOCK_SIZE]), _little(header[_DECODED])
        if found != (self._type, self._block, self._chunk):
            raise RuntimeError("is damaged: a chunk is not of the size of its file's")

    def _header(self, start: int) -> np.ndarray:
        header = self._bytes[start : start + _HEADER]
        if len(header) < _HEADER or int(header[_FLAGS]) & ~_ALIKE or start + _little(header[_SIZE]) > len(self._bytes):
            raise RuntimeError("is damaged: a chunk has a header that no store writes")
        return header

    def _number(self, place: slice) -> int:
        return int.from_bytes(self._bytes[place].tobytes(), "big")


def _little(part: np.ndarray) -> int:
    return int.from_bytes(part.tobytes(), "little")


__all__ = ["Frame"]
