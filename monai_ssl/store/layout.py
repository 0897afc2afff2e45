"""File layout of a store: names of its files, locks and atomic writes."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from monai_ssl.files import ASIDE, atomic, read_json
from monai_ssl.process_lock import acquire, release
from monai_ssl.store.compressed import BLOSC2, compressed

FORMAT = 1
"""Version of everything on disk; part of every key."""
MANIFEST = "manifest.json"
SCANS = "scans"
PRIVATE = "private"
SOURCES, REPORT = "sources.json", "report.json"


def array_path(store: Path, record: Mapping[str, Any]) -> Path:
    """Return the file of a scan's array, by the scan's record."""
    ending = ".b2nd" if record.get("compression") == BLOSC2 else ".npy"
    return store / SCANS / record.get("folder", "") / f"{record['key']}{ending}"


def record_path(store: Path, record: Mapping[str, Any]) -> Path:
    """Return the file of a scan's record, which lies beside its array."""
    return store / SCANS / record.get("folder", "") / f"{record['key']}.json"


def folder_of(key: str) -> str:
    """Return the folder in ``scans`` of a new scan: the first two digits of its key, so that 256 share them all.

    >>> folder_of("3fa0c5d1e2b4a697")
    '3f'
    """
    return key[:2]


def place_of_new(store: Path, key: str) -> dict[str, str]:
    """Return what the record of a scan says of its place, before its array is written.

    In stores of earlier versions all lay in ``scans`` itself. What lies there is mended there, since runs may be
    reading it; whatever else is new gets a folder.
    """
    there = any((store / SCANS / f"{key}{ending}").exists() for ending in (".json", ".npy", ".b2nd"))
    return {} if there else {"folder": folder_of(key)}


def possible_records(store: Path, key: str) -> list[Path]:
    """Return where the record of a scan may lie."""
    return [record_path(store, {"key": key, "folder": folder}) for folder in (folder_of(key), "")]


def scan_folders(store: Path) -> list[Path]:
    """Return the folders that hold scans."""
    scans = store / SCANS
    return [scans, *sorted(path for path in scans.iterdir() if path.is_dir())]


def create_store(store: Path) -> None:
    """Make the folders; what identifies patients goes into one that only its owner can enter."""
    (store / SCANS).mkdir(parents=True, exist_ok=True)
    (store / PRIVATE).mkdir(mode=0o700, exist_ok=True)


def write_array(path: Path, array: np.ndarray) -> None:
    content = compressed(array) if path.suffix == ".b2nd" else None
    with atomic(path) as file:
        if content is not None:
            file.write(content)
        else:
            np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)


def store_secret(store: Path) -> bytes:
    """Return the key of the pseudonyms, made at the first call; without it they cannot be traced back."""
    known = known_secret(store)
    if known is None:
        mine = _secret(store).with_name(f"{ASIDE}secret-{secrets.token_hex(8)}")
        with atomic(mine, 0o600) as file:
            file.write(secrets.token_hex(32).encode())
        # of several machines that begin at once the first one's counts
        try:
            os.link(mine, _secret(store))
        except FileExistsError:
            pass
        except OSError:
            # disks such as exFAT have no links
            mine.replace(_secret(store))
        mine.unlink(missing_ok=True)
        known = _secret(store).read_bytes()
    return known


def known_secret(store: Path) -> bytes | None:
    """Return the key of the pseudonyms where the store still has it."""
    return _secret(store).read_bytes() if _secret(store).is_file() else None


def pseudonym(secret: bytes, name: str) -> str:
    """Return what stands for the name of a patient in a store."""
    return hmac.new(secret, name.strip().encode(), hashlib.sha256).hexdigest()[:12]


@contextmanager
def locked(store: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold the store alone, or ``shared`` with others that convert their share for it.

    The system frees the lock when its process ends, however that happens.

    Raises:
        ValueError: when another process holds it.
    """
    lock = store / PRIVATE / "lock"
    acquire(
        lock,
        f"{store} is being prepared by another process ({{holder}}): wait until it ends, or prepare into another "
        "folder.",
        shared=shared,
    )
    try:
        yield
    finally:
        release(lock)


def source_key(key: str) -> str:
    """Return the key of the source that a scan is a part of; a source of one volume has the key of its scan."""
    return key.split("-")[0]


def source_names(store: Path) -> dict[str, list[str]]:
    """Return the files that each scan came from, by key; a source of several scans stands under the first of them."""
    return memory(store / PRIVATE / SOURCES)


def memory(path: Path) -> dict[str, Any]:
    """Return what earlier runs noted down; nothing if that is damaged, which loses no scan."""
    try:
        known = read_json(path, {})
    except ValueError:
        return {}
    return known if isinstance(known, dict) else {}


def _secret(store: Path) -> Path:
    return store / PRIVATE / "secret"
