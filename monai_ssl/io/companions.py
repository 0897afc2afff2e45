"""Headers and data in separate files: Analyze and NIfTI pairs, detached NRRD and MetaImage."""

from __future__ import annotations

from pathlib import Path

_KEYS = {".nhdr": ("datafile", ":"), ".mhd": ("elementdatafile", "=")}
_HEADER_BYTES = 65536


def companions(path: Path) -> tuple[tuple[Path, ...], str | None]:
    """Return the files that make up the image whose header is ``path``, and the problem if one of them is missing."""
    suffix = path.suffix.lower()
    if suffix == ".hdr":
        candidates = [path.with_suffix(end) for end in (".img", ".img.gz", ".IMG")]
        data = next((file for file in candidates if file.is_file()), None)
        return _pair(path, data, f"{path.stem}.img")
    if suffix not in _KEYS:
        return (path,), None
    name = _data_file(path, *_KEYS[suffix])
    if name is None:
        return (path,), "the header names no data file; store the image in one file instead"
    if name.upper().startswith("LIST") or "%" in name:
        return (path,), "the data are a list of files, which is not read; store the image in one file instead"
    if name.upper() == "LOCAL":
        return (path,), None
    data = path.parent / name
    return _pair(path, data if data.is_file() else None, name)


def _pair(header: Path, data: Path | None, name: str) -> tuple[tuple[Path, ...], str | None]:
    if data is None:
        return (header,), f"the data file {name} is missing beside its header; restore it"
    return (header, data), None


def _data_file(path: Path, key: str, separator: str) -> str | None:
    with path.open("rb") as file:
        text = file.read(_HEADER_BYTES).decode("latin-1")
    for line in text.splitlines():
        name, found, value = line.partition(separator)
        if found and name.replace(" ", "").lower() == key:
            return value.strip()
    return None
