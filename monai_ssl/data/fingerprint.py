"""Fingerprint of labeled cases: whether a run that continues has the data that it began with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from monai_ssl.data.cases import Case

_PLACES, _CHUNK = 8, 4096
"""Of a file that many chunks are read, evenly spread: reading all of a cohort takes minutes."""


def cases_fingerprint(cases: Sequence[Case]) -> str:
    """Return what tells cases from other ones, wherever they lie: names, sizes and samples of their files, labels.

    Raises:
        FileNotFoundError: when a file is missing.

    >>> cases = [{"image": __file__, "label": 0}]
    >>> cases_fingerprint(cases) == cases_fingerprint([{"image": __file__, "label": 1}])
    False
    """
    digest = hashlib.sha256()
    for case in cases:
        for value in (case["image"], case.get("label")):
            for part in _parts(value):
                digest.update(part + b"\0")
    return digest.hexdigest()[:12]


def _parts(value: Any) -> Iterator[bytes]:
    if not isinstance(value, (str, Path)):
        yield repr(value).encode()
        return
    path = Path(value)
    yield path.name.encode()
    for file in sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]:
        yield from (file.name.encode(), *_sample(file))


def _sample(path: Path) -> Iterator[bytes]:
    size = path.stat().st_size
    yield str(size).encode()
    with path.open("rb") as file:
        for place in range(_PLACES):
            file.seek(max(0, size - _CHUNK) * place // (_PLACES - 1))
            yield file.read(_CHUNK)


__all__ = ["cases_fingerprint"]
