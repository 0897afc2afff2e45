"""CRC check of gzip and zlib data, which several decoders skip."""

from __future__ import annotations

import bz2
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NamedTuple

try:  # unpacks in half the time, and checks the same
    from isal import igzip
except ImportError:
    import gzip as igzip  # type: ignore[no-redef]

GZIP, ZLIB = 31, 15
"""Forms of packed data, as zlib names them."""
_CHUNK = 1 << 20


class Packing(NamedTuple):
    """How a file is packed: the name of the form, and what opens such a file for reading."""

    name: str
    open: Callable[[Path], Any]


_PACKINGS = {b"\x1f\x8b": Packing("gzip", igzip.open), b"BZ": Packing("bz2", bz2.open)}


def packing_of(path: Path) -> Packing | None:
    """Return how a file is packed, told by its first bytes; nothing for a plain file."""
    with path.open("rb") as file:
        return _PACKINGS.get(file.read(2))


def open_unpacked(path: Path) -> Any:
    """Open a file for reading, packed or plain."""
    packing = packing_of(path)
    return packing.open(path) if packing else path.open("rb")


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
