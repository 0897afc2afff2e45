"""Open an uploaded store: its manifest is fetched once, its scans when they are read."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_ssl.files import ASIDE, atomic
from monai_ssl.places import cache_root, is_url
from monai_ssl.store.array_maps import size_problem
from monai_ssl.store.compressed import BLOSC2
from monai_ssl.store.layout import MANIFEST
from monai_ssl.store.manifest import read_manifest
from monai_ssl.store.records import TABLE, write_manifest
from monai_ssl.store.remote.cache import Cache, scan_cache
from monai_ssl.store.remote.head import HEAD, manifest_path, read_head
from monai_ssl.store.remote.shards import shard_path
from monai_ssl.store.remote.storage import read

_PIECE = 1 << 26
"""Bytes of one request; more of a scan are not held in memory."""


@dataclass(frozen=True)
class ShardedFiles:
    """Arrays of an uploaded store: each is fetched whole, by its range of bytes, and kept in a cache by its hash.

    Args:
        root: folder or URL of the store.
        cache: of scans.
    """

    root: str
    cache: Cache
    advice = (
        "check network, credentials and that shard; one that is damaged is deleted, and uploaded again by "
        "`python -m monai_ssl upload STORE URL`"
    )

    def path(self, record: Mapping[str, Any]) -> Path:
        return self.cache.folder / self._name(record)

    def get(self, record: Mapping[str, Any]) -> None:
        """Fetch the file unless it is in the cache.

        Raises:
            ValueError: when it cannot be read, or is not what was uploaded.
        """
        if self.cache.use(self._name(record)):
            return
        shard, begin, end = shard_path(self.root, record["shard"]), record["offset"], record["offset"] + record["bytes"]
        digest = hashlib.sha256()
        with self.cache.adding(self._name(record), record["bytes"]) as file:
            for start in range(begin, end, _PIECE):
                piece = _range(shard, start, min(start + _PIECE, end))
                digest.update(piece)
                file.write(piece)
            if digest.hexdigest() != record["sha256"]:
                raise ValueError(f"is not what was uploaded, by its sha256, in {shard}")

    def damage(self, record: Mapping[str, Any]) -> str | None:
        path = self.path(record)
        return size_problem(path, record["bytes"]) if path.exists() else None

    def _name(self, record: Mapping[str, Any]) -> str:
        return f"{record['sha256']}{'.b2nd' if record.get('compression') == BLOSC2 else '.npy'}"


def is_uploaded(place: str | Path) -> bool:
    """Tell whether a place is a URL, or the folder of an uploaded store."""
    return is_url(place) or (Path(place) / HEAD).is_file()


def local_folder(place: str | Path) -> Path:
    """Return a path; raise ``ValueError`` for a URL or an uploaded store."""
    if is_uploaded(place):
        raise ValueError(
            f"{place} is a URL or an uploaded store, which is only read: prepare a folder into a folder, then "
            "`python -m monai_ssl upload STORE URL`."
        )
    return Path(place)


def open_uploaded(place: str | Path) -> tuple[Path, ShardedFiles]:
    """Return the folder that holds the manifest of an uploaded store, fetched unless it is there, and its files.

    Raises:
        ValueError: when there is no such store, or what was fetched is not what was uploaded.
    """
    root = place if isinstance(place, str) else str(place.absolute())
    manifest = read_head(root)
    if manifest is None:
        raise ValueError(
            f"{root} holds no uploaded store (it has no {HEAD}): write one with "
            f"`python -m monai_ssl upload STORE {root}`."
        )
    folder = cache_root() / "manifests" / manifest
    if not (folder / TABLE).is_file():
        _fetch_manifest(root, manifest, folder)
    return folder, ShardedFiles(root, scan_cache())


def _fetch_manifest(root: str, sha256: str, folder: Path) -> None:
    source = manifest_path(root, sha256)
    try:
        content = read(source)
    except (FileNotFoundError, ValueError) as error:
        raise ValueError(f"The manifest of the store {root} cannot be read ({error}).") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"{source} is not what was uploaded, by its sha256: upload the store again.")
    # whole or not at all, whatever number of processes begin at once
    aside = folder.with_name(f"{ASIDE}{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with atomic(aside / MANIFEST) as file:
            file.write(content)
        options, records = read_manifest(aside)
        if not all("shard" in record for record in records):
            raise ValueError(f"{source} names scans without their shards: upload the store again.")
        write_manifest(aside, options, records)
        if not (folder / TABLE).is_file():
            shutil.rmtree(folder, ignore_errors=True)
            aside.rename(folder)
    except OSError:
        # another process was faster
        if not (folder / TABLE).is_file():
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _range(shard: str, start: int, end: int) -> bytes:
    try:
        piece = read(shard, start, end)
    except FileNotFoundError:
        raise ValueError(f"cannot be read, since there is no {shard}") from None
    if len(piece) > end - start:
        raise ValueError(f"cannot be read from {shard}, whose server gives whole files only (no byte ranges)")
    if len(piece) < end - start:
        raise ValueError(f"cannot be read from {shard}, which was cut short")
    return piece


__all__ = ["ShardedFiles", "is_uploaded", "local_folder", "open_uploaded"]
