"""Compare packed data with the check sum that they carry; several decoders stop before they reach it."""

from __future__ import annotations

import zlib
from typing import IO

GZIP, ZLIB = 31, 15
"""Forms of packed data, as zlib names them."""
_CHUNK = 1 << 20


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
