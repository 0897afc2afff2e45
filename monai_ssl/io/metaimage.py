"""Validate MetaImage headers before ITK reads them, since it may hang on damaged files."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from monai_ssl.io.check_sums import ZLIB, check_packed
from monai_ssl.io.volume import ReadError, reading

_POWERS = {
    "ndims": 0,
    "dimsize": 1,
    "elementspacing": 1,
    "elementsize": 1,
    "offset": 1,
    "origin": 1,
    "position": 1,
    "centerofrotation": 1,
    "transformmatrix": 2,
    "rotation": 2,
    "orientation": 2,
    "headersize": 0,
    "elementnumberofchannels": 0,
    "compresseddatasize": 0,
}
"""How many numbers a field has: the number of dimensions to this power."""
_REMEDY = "copy the file again or leave it out"
_MOST = 65536
"""Bytes of a header at most."""


def check_metaimage(path: Path) -> None:
    """Check the fields of numbers, and the check sum of packed data.

    Raises:
        ReadError: when either is wrong.
    """
    with path.open("rb") as file:
        fields = _fields(file, path)
        if fields.get("compresseddata", "")[:1] not in ("T", "t", "1"):
            return
        named = fields["elementdatafile"]
        with reading(path, "the packed data of this MetaImage are cut off or damaged", _REMEDY):
            if named.upper() == "LOCAL":
                check_packed(file, ZLIB)
            else:
                with (path.parent / named).open("rb") as data:
                    check_packed(data, ZLIB)


def _fields(file: IO[bytes], path: Path) -> dict[str, str]:
    """Read the lines of the header, and leave the file where the data begin."""
    fields: dict[str, str] = {}
    dims = 0
    while file.tell() < _MOST and (line := file.readline(_MOST)):
        name, found, text = line.decode("latin-1").partition("=")
        field, values = name.strip().lower(), text.split()
        if not found:
            raise ReadError(f"{path}: the header of this MetaImage has the line {name[:40]!r}; {_REMEDY}.")
        if field == "ndims" and text.strip().isdecimal():
            dims = int(text)
        if field in _POWERS and (len(values) != dims ** _POWERS[field] or not all(map(_is_number, values))):
            raise ReadError(f"{path}: the header of this MetaImage has no usable `{name.strip()}`; {_REMEDY}.")
        fields[field] = text.strip()
        if field == "elementdatafile":
            return fields
    raise ReadError(f"{path}: the header of this MetaImage names no data; {_REMEDY}.")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
