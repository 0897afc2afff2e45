"""Read and validate the manifest of a store; nothing in it is trusted."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from monai_ssl.files import read_json
from monai_ssl.store.compressed import BLOSC2
from monai_ssl.store.layout import FORMAT, MANIFEST, folder_of
from monai_ssl.store.statistics import PERCENTILES

_KEY = re.compile(r"[0-9a-zA-Z_][0-9a-zA-Z_-]{0,79}")
_TYPES = ("uint8", "int16", "uint16", "float16", "float32")
_STATISTICS = {"min", "max", "mean", "std", *(f"p{q:g}" for q in PERCENTILES)}
_STATISTICS |= {"foreground_mean", "foreground_std", "foreground_fraction"}
_HASHES = ("content", "look", "session", "frame")
"""Hexadecimal digits; stores of version 0.1 have none, and sessions are not always known."""
_HEX = re.compile(r"[0-9a-f]{1,4096}")
_TEXTS = ("modality", "patient", "source_hash")
_COMPRESSIONS = (None, BLOSC2)
_PLACE = {"shard": re.compile(r"[0-9a-f]{16}"), "sha256": re.compile(r"[0-9a-f]{64}")}
"""Of uploaded stores: which shard holds the bytes of a scan, and their hash; both become names of files."""
_BASES = {"modality_from": ("option", "file", "values"), "patient_from": ("path", "dicom", "user")}


def read_manifest(store: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the options and the checked records of the manifest of a store.

    Raises:
        ValueError: when it is of another version, damaged, or holds what ``prepare`` never writes.
    """
    manifest = read_json(store / MANIFEST)
    version = manifest.get("format") if isinstance(manifest, Mapping) else None
    if version != FORMAT:
        raise ValueError(
            f"{store} has format {version!r}, this version of monai_ssl reads {FORMAT}: "
            "prepare the source again into a new folder."
        )
    options, records = manifest.get("options"), manifest.get("scans")
    problem = None if isinstance(options, dict) and isinstance(records, list) else "`options` or `scans` are missing"
    for record in [] if problem else records:
        problem = problem or record_problem(record)
    if problem:
        raise ValueError(
            f"{store / MANIFEST} is damaged or was not written by `prepare` ({problem}): prepare the source again."
        )
    return options, records


def listed_keys(store: Path) -> set[str] | None:
    """Return the keys of the manifest, whose patients are settled; ``None`` where there is none that can be read."""
    try:
        return {record["key"] for record in read_manifest(store)[1]}
    except ValueError:
        return None


def record_problem(record: Any) -> str | None:
    """Say what keeps an entry of the manifest from being used, ``None`` if nothing does."""
    if not isinstance(record, Mapping):
        return "a scan is no object"
    key, shape = record.get("key"), record.get("shape")
    # the key becomes the name of a file
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        return f"{str(key)[:80]!r} is no key of a scan"
    if not isinstance(shape, list) or len(shape) not in (3, 4) or not all(map(_is_size, shape)):
        return f"scan {key} has no usable `shape`"
    dims, dtype, size = len(shape) - 1, record.get("dtype"), record.get("bytes")
    problems = {
        "dtype": not isinstance(dtype, str) or dtype not in _TYPES,
        "bytes": not _is_size(size),
        "spacing": not _all(record.get("spacing"), lambda s: _is_number(s) and s > 0, dims),
        "affine": not _all(record.get("affine"), lambda row: _all(row, _is_number, 4), 4),
        "body_box": not _is_box(record.get("body_box"), shape[1:]),
        "statistics": not _are_statistics(record.get("statistics")),
        "notes": not _all(record.get("notes"), lambda note: isinstance(note, str)),
        "parts": not _is_size(record.get("parts")),
        **{name: not _is_named(record, name, known) for name, known in _PLACE.items()},
        "offset": "shard" in record and not _is_size(record.get("offset")),
        "compression": record.get("compression") not in _COMPRESSIONS,
        "folder": record.get("folder", "") not in ("", folder_of(key)),
        **{name: not isinstance(record.get(name), str) for name in _TEXTS},
        **{name: not _is_hash(record.get(name, "0")) for name in _HASHES},
        **{name: record.get(name) not in known for name, known in _BASES.items()},
    }
    if not (problems["dtype"] or problems["bytes"]):
        short = math.prod(shape) * np.dtype(dtype).itemsize > cast("int", size)
        problems["shape"] = record.get("compression") is None and short
    return next((f"scan {key} has no usable `{name}`" for name, wrong in problems.items() if wrong), None)


def _all(values: Any, good: Any, size: int | None = None) -> bool:
    return isinstance(values, list) and size in (None, len(values)) and all(map(good, values))


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    # whole numbers of JSON have no limit
    return abs(value) < 1e300 and math.isfinite(value)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**48


def _is_named(record: Mapping[str, Any], name: str, known: re.Pattern[str]) -> bool:
    if "shard" not in record:
        return name not in record
    return isinstance(record.get(name), str) and bool(known.fullmatch(record[name]))


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and bool(_HEX.fullmatch(value))


def _is_box(box: Any, shape: list[int]) -> bool:
    if not _all(box, lambda corner: _all(corner, lambda n: type(n) is int, len(shape)), 2):
        return False
    return all(0 <= low < high <= size for low, high, size in zip(*box, shape, strict=True))


def _are_statistics(statistics: Any) -> bool:
    return isinstance(statistics, Mapping) and all(_is_number(statistics.get(name)) for name in _STATISTICS)
