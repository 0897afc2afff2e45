"""Records of a manifest as a memory-mapped table: each is read when it is asked for, whatever their number.

Reference counts of a list of 100,000 records would copy its pages into every loader worker.
"""

from __future__ import annotations

import json
import os
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monai_ssl.files import atomic
from monai_ssl.store.layout import FORMAT, MANIFEST
from monai_ssl.store.manifest import read_manifest, record_problem

TABLE = "manifest.table"
"""Derived from the manifest: what is selected by, and where in it each record stands."""
_FIELDS = {"key": "S", "patient": "S", "modality": "S", "dims": "u1", "least": "<u4", "begin": "<u8", "length": "<u4"}


class Records(Sequence[dict[str, Any]]):
    """The records of a store, sorted by key.

    Args:
        store: folder.

    Raises:
        ValueError: when the manifest is of another version, damaged, or not of ``prepare``.
    """

    def __init__(self, store: Path) -> None:
        self.store = store
        self._all: list[dict[str, Any]] | None = None
        mapped = _mapped(store)
        if mapped is None:
            # of version 0.1, copied without its times, or changed by hand
            self.options, self._all = read_manifest(store)
            self.columns = _columns(self._all, [(0, 0)] * len(self._all))
        else:
            self.columns = mapped
            self.options = _head(store)
            # stays open while in use; a mapped text would count as memory of every process that has read in it
            self._text = os.open(store / MANIFEST, os.O_RDONLY)
            weakref.finalize(self, os.close, self._text)

    @property
    def keys(self) -> np.ndarray:
        """(N,) of bytes."""
        return self.columns["key"]

    @property
    def patients(self) -> np.ndarray:
        """(N,) pseudonyms, of bytes."""
        return self.columns["patient"]

    def __len__(self) -> int:
        return len(self.columns)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if self._all is not None:
            return self._all[index]
        row = self.columns[index]
        try:
            record = json.loads(os.pread(self._text, int(row["length"]), int(row["begin"])))
        except (ValueError, RecursionError):
            record = None
        problem = record_problem(record)
        if problem or record["key"].encode() != row["key"] or record["patient"].encode() != row["patient"]:
            raise ValueError(
                f"{self.store / TABLE} does not fit {MANIFEST} beside it ({problem or 'another scan stands there'}): "
                f"delete {TABLE}, or prepare the source again."
            )
        return record

    def __reduce__(self) -> tuple[type[Records], tuple[Path]]:
        return Records, (self.store,)


def write_manifest(store: Path, options: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> None:
    """Write the manifest, a line a record in the order of their keys, and after it the table."""
    records = sorted(records, key=lambda record: record["key"])
    head = json.dumps({"format": FORMAT, "options": dict(options)}, allow_nan=False)[:-1] + ', "scans": [\n'
    position, places = len(head.encode()), []
    with atomic(store / MANIFEST) as file:
        file.write(head.encode())
        for number, record in enumerate(records):
            line = json.dumps(record, allow_nan=False).encode()
            places.append((position, len(line)))
            end = b",\n" if number + 1 < len(records) else b"\n"
            file.write(line + end)
            position += len(line) + len(end)
        file.write(b"]}\n")
    with atomic(store / TABLE) as file:
        np.lib.format.write_array(file, _stamp(store), allow_pickle=False)
        np.lib.format.write_array(file, _columns(records, places), allow_pickle=False)


def _columns(records: Sequence[Mapping[str, Any]], places: Sequence[tuple[int, int]]) -> np.ndarray:
    texts = {name: [str(record[name]).encode() for record in records] for name in ("key", "patient", "modality")}
    widths = {name: max([1, *map(len, column)]) for name, column in texts.items()}
    table = np.empty(
        len(records), [(name, f"S{widths[name]}" if kind == "S" else kind) for name, kind in _FIELDS.items()]
    )
    for name, column in texts.items():
        table[name] = column
    table["dims"] = [len(record["shape"]) - 1 for record in records]
    table["least"] = [min(min(record["shape"][1:]), 2**32 - 1) for record in records]
    table["begin"], table["length"] = zip(*places, strict=True) if places else ((), ())
    return table


def _mapped(store: Path) -> np.ndarray | None:
    """Return the table, unless there is none or the manifest is another one than it was made of."""
    path = store / TABLE
    try:
        with path.open("rb") as file:
            stamp = np.lib.format.read_array(file, allow_pickle=False)
            if np.lib.format.read_magic(file) != (1, 0):
                return None
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            offset = file.tell()
        kinds = {name: dtype[name].str if _FIELDS.get(name) != "S" else dtype[name].kind for name in dtype.names or ()}
        if not np.array_equal(stamp, _stamp(store)) or {**kinds, "dims": "u1"} != _FIELDS or len(shape) != 1:
            return None
        return np.memmap(path, dtype, "r", offset, shape) if shape[0] else np.empty(0, dtype)
    except (OSError, ValueError, EOFError):
        return None


def _head(store: Path) -> dict[str, Any]:
    with (store / MANIFEST).open("rb") as file:
        line = file.readline().decode()
    options: dict[str, Any] = json.loads(line.rstrip().removesuffix('"scans": [').rstrip().rstrip(",") + "}")["options"]
    return options


def _stamp(store: Path) -> np.ndarray:
    stat = (store / MANIFEST).stat()
    return np.array([FORMAT, stat.st_size, stat.st_mtime_ns], np.int64)


__all__ = ["TABLE", "Records", "write_manifest"]
