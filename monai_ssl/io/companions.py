"""Header and data in separate files: Analyze and NIfTI pairs, detached NRRD and MetaImage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

Found = tuple[tuple[Path, ...], str | None]
"""The files of an image, header and data first, and the problem if one is missing."""
Companions = Callable[[Path, str], Found]
"""From the path of a header and its ending to what belongs to it."""
_HEADER_BYTES = 65536


def beside(*endings: str, also: str) -> Companions:
    """Return the rule for data of the same name with one of the ``endings``, and a file ``also`` where there is one."""

    def find(path: Path, ending: str) -> Found:
        base = path.name[: -len(ending)]
        data = _first(path.parent, base, endings)
        if data is None:
            return (path,), _missing(base + endings[0])
        more = _first(path.parent, base, (also,))
        return (path, data, *([] if more is None else [more])), None

    return find


def _first(folder: Path, base: str, endings: tuple[str, ...]) -> Path | None:
    """Return the file of a name with one of the endings, in small letters, capitals or both."""
    spellings = (spelled for ending in endings for spelled in (ending, ending.upper(), ending.title()))
    return next((folder / (base + s) for s in spellings if (folder / (base + s)).is_file()), None)


def named_in_header(key: str, separator: str) -> Companions:
    """Return the rule for headers of text with a line ``key separator name of the data file``."""

    def find(path: Path, ending: str) -> Found:
        del ending
        name = _value(path, key, separator)
        if name is None:
            return (path,), "the header names no data file; store the image in one file instead"
        if name.upper().startswith("LIST") or "%" in name:
            return (path,), "the data are a list of files, which is not read; store the image in one file instead"
        if name.upper() == "LOCAL":
            return (path,), None
        data = path.parent / name
        return ((path, data), None) if data.is_file() else ((path,), _missing(name))

    return find


def _missing(name: str) -> str:
    return f"the data file {name} is missing beside its header; restore it"


def _value(path: Path, key: str, separator: str) -> str | None:
    with path.open("rb") as file:
        text = file.read(_HEADER_BYTES).decode("latin-1")
    for line in text.splitlines():
        name, found, value = line.partition(separator)
        if found and name.replace(" ", "").lower() == key:
            return value.strip()
    return None
