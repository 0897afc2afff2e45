"""What a worker of ``prepare`` does: hash one source, decode it and write its arrays."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_ssl.files import read_json
from monai_ssl.io.discovery import Source
from monai_ssl.io.volume import ReadError
from monai_ssl.store.conform import conform
from monai_ssl.store.content import content_of
from monai_ssl.store.layout import (
    FORMAT,
    array_path,
    place_of_new,
    possible_records,
    scan_folders,
    source_key,
    write_array,
)
from monai_ssl.store.manifest import record_problem
from monai_ssl.store.selection import holds_labels
from monai_ssl.store.statistics import histogram

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Conversion:
    """A source to convert.

    Args:
        source: what to read.
        store: folder of the store.
        options: those that change the result; part of the key.
        refuse_labels: refuse an array that looks like labels.
        compression: ``"blosc2"`` or ``None``; the same scans, so no part of the key.
    """

    source: Source
    store: Path
    options: Mapping[str, Any]
    refuse_labels: bool = False
    compression: str | None = None


@dataclass(frozen=True)
class Converted:
    """What became of a conversion: records of the scans, or the reason why there are none."""

    content: str | None = None
    records: list[dict[str, Any]] = field(default_factory=list)
    already: bool = False
    reason: str | None = None


def convert(conversion: Conversion) -> Converted:
    """Write the arrays of a source; their records are left to the caller, who writes them last.

    Raises:
        OSError: when the store's disk refuses; whatever is wrong with the source becomes a reason.
    """
    try:
        content = content_hash(conversion.source.files)
        key = scan_key(content, conversion.options)
        done = finished(conversion.store, key)
        if is_complete(done):
            return Converted(content, done, already=True)
        return _convert(conversion, content, key)
    except ReadError as error:
        return Converted(reason=str(error))
    except MemoryError:
        return Converted(reason="does not fit into memory: use fewer --workers or a machine with more memory")
    except OSError as error:
        if error.filename is None or Path(error.filename).is_relative_to(conversion.store):
            raise
        return Converted(reason=f"cannot be read: {error.strerror or error}")
    except Exception as error:  # one scan of ten thousand must not stop the others
        return Converted(
            reason=f"unexpected {type(error).__name__}: {error}; please report this with the file's format"
        )


def content_hash(files: tuple[Path, ...]) -> str:
    """Hash what stands in some files; their names and order do not count."""
    digests = []
    for file in files:
        digest = hashlib.sha256()
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
        digests.append(digest.hexdigest())
    return hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()


def file_signature(source: Source) -> str:
    """Identify the files of a source as they stand on the disk, without reading them."""
    stats = sorted((str(file.resolve()), (stat := file.stat()).st_size, stat.st_mtime_ns) for file in source.files)
    return hashlib.sha256(repr(stats).encode()).hexdigest()


def scan_key(content: str, options: Mapping[str, Any]) -> str:
    """Return the name of a scan: short, and the same for the same content, options and format."""
    return hashlib.sha256(json.dumps([FORMAT, content, options], sort_keys=True).encode()).hexdigest()[:16]


def finished(store: Path, key: str) -> list[dict[str, Any]]:
    """Return the records of a source that is wholly in the store, else nothing."""
    first = _record(store, key) or _record(store, f"{key}-0")
    if first is None:
        return []
    keys = [key] if first["parts"] == 1 else [f"{key}-{part}" for part in range(first["parts"])]
    records: list[dict[str, Any]] = []
    for each in keys:
        record = _record(store, each)
        if record is None:
            return []
        records.append(record)
    return records


def all_records(store: Path) -> dict[str, dict[str, Any]]:
    """Read the records of every scan that is wholly there."""
    keys = {source_key(path.stem) for folder in scan_folders(store) for path in folder.glob("*.json")}
    return {record["key"]: record for key in sorted(keys) for record in finished(store, key)}


def is_complete(records: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the records of a source are there, with what earlier versions did not write."""
    return bool(records) and all("content" in record for record in records)


def _record(store: Path, key: str) -> dict[str, Any] | None:
    """Return the record of a scan if it and the array are whole; what is damaged is made again."""
    for place in possible_records(store, key):
        try:
            record: dict[str, Any] | None = read_json(place)
        except ValueError:
            continue
        if record is None or record_problem(record) or record["key"] != key:
            continue
        path = array_path(store, record)
        if path.exists() and path.stat().st_size == record["bytes"]:
            return record
    return None


def _convert(conversion: Conversion, content: str, key: str) -> Converted:
    # the readers bring in the decoders, which the main process never needs
    from monai_ssl.io.readers import read

    options = conversion.options
    volumes = read(conversion.source, four_d=options["four_d"], missing_slices=options["missing_slices"])
    records = []
    for part, volume in enumerate(volumes):
        if conversion.refuse_labels and holds_labels(volume.array):
            raise ReadError("looks like a label map by its values; --include GLOB prepares it nevertheless")
        counts = histogram(volume.array) if volume.array.dtype.kind in "iu" else None
        array, record = conform(volume, options["modality"], options["spacing"], counts)
        own = key if len(volumes) == 1 else f"{key}-{part}"
        place = place_of_new(conversion.store, own)
        record = {"key": own, **place, "parts": len(volumes), "source_hash": content, **record}
        if conversion.compression:
            record["compression"] = conversion.compression
        path = array_path(conversion.store, record)
        write_array(path, array)
        # the content is that before windows and resampling, so that it is the same in stores with other options
        records.append({**record, "bytes": path.stat().st_size, **content_of(volume.array, counts)})
    return Converted(content, records)
