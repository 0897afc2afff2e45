"""CRC check of gzip and zlib data, which several decoders skip."""

from __future__ import annotations

import bz2
import gzip
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

GZIP, ZLIB = 31, 15
"""Forms of packed data, as zlib names them."""
_CHUNK = 1 << 20
_OPENERS: dict[bytes, Callable[[Path], Any]] = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open}


def opener_of(path: Path) -> Callable[[Path], Any] | None:
    """Return what opens a packed file for reading, told by its first bytes; nothing for a plain file."""
    with path.open("rb") as file:
        return _OPENERS.get(file.read(2))


def read_to_end(stream: IO[bytes]) -> None:
    """Read the rest of an unpacked stream, at whose end the check sum stands, where decoders never look.

    Raises:
        OSError, EOFError, zlib.error: when the data are cut off or their check sum is another.
    """
    while stream.read(_CHUNK):
        pass


def check_packed(file: IO[bytes], form: int) -> None:
    """Unpack from where the file stands, and forget it.

    Raises:
        ValueError: when the data are cut off or their check sum is another.
    """
    unpacking = zlib.decompressobj(form)
    while not unpacking.eof:
        chunk = unpacking.unconsumed_tail or file.read(_CHUNK)
        if not chunk:
            raise ValueError("the data end too early")
        try:
            unpacking.decompress(chunk, _CHUNK)
        except zlib.error as error:
            raise ValueError(str(error)) from error
