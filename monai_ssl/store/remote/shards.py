"""Shards: uncompressed tar files of arrays, in which each lies at a place known beforehand."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from monai_ssl.store.layout import array_path

FOLDER = "shards"
_BLOCK = tarfile.BLOCKSIZE
_PIECE = 1 << 22
Record = Mapping[str, Any]


def packed(records: Iterable[Record], size: int) -> Iterator[list[Record]]:
    """Yield the records of each shard, in order; a shard has about ``size`` bytes, and one scan at least."""
    shard: list[Record] = []
    for record in records:
        if shard and length_of([*shard, record]) > size:
            yield shard
            shard = []
        shard.append(record)
    if shard:
        yield shard


def name_of(records: Sequence[Record]) -> str:
    """Return the name of the shard of some scans: another one for other scans."""
    named = "\n".join(f"{r['key']} {r['bytes']} {r.get('compression')}" for r in records)
    return hashlib.sha256(named.encode()).hexdigest()[:16]


def offsets(records: Sequence[Record]) -> list[int]:
    """Return where the bytes of each scan begin in a shard."""
    found, position = [], 0
    for record in records:
        found.append(position + _BLOCK)
        position = found[-1] + _padded(record["bytes"])
    return found


def length_of(records: Sequence[Record]) -> int:
    """Return the bytes of a shard."""
    return sum(_BLOCK + _padded(record["bytes"]) for record in records) + 2 * _BLOCK


def write_shard(store: Path, records: Sequence[Record], file: IO[bytes] | None) -> list[str]:
    """Write the arrays of a store as a tar file, the same bytes for the same scans.

    Args:
        store: folder.
        records: of the scans.
        file: to write to; ``None`` where the shard is there already.

    Returns:
        The sha256 of the bytes of each scan.

    Raises:
        ValueError: when an array is not as it was prepared.
    """
    hashes = []
    for record in records:
        path = array_path(store, record)
        member = tarfile.TarInfo(path.name)
        member.size = record["bytes"]
        digest, left = hashlib.sha256(), member.size
        _write(file, member.tobuf(tarfile.GNU_FORMAT))
        with path.open("rb") as array:
            while left and (piece := array.read(min(left, _PIECE))):
                digest.update(piece)
                _write(file, piece)
                left -= len(piece)
        if left:
            raise ValueError(f"Scan {record['key']} of {store} was cut short: prepare the source again.")
        _write(file, bytes(-member.size % _BLOCK))
        hashes.append(digest.hexdigest())
    _write(file, bytes(2 * _BLOCK))
    return hashes


def shard_path(root: str, name: str) -> str:
    """Return the place of a shard of an uploaded store."""
    return f"{root}/{FOLDER}/{name}.tar"


def _padded(size: int) -> int:
    return size + -size % _BLOCK


def _write(file: IO[bytes] | None, content: bytes) -> None:
    if file is not None:
        file.write(content)


__all__ = ["length_of", "name_of", "offsets", "packed", "shard_path", "write_shard"]
