"""Stores as versions before two-level folders wrote them."""

import shutil
from pathlib import Path

from monai_ssl.files import write_json
from monai_ssl.store.layout import record_path
from monai_ssl.store.manifest import read_manifest
from monai_ssl.store.records import write_manifest


def in_one_folder(store: Path, copy: Path) -> Path:
    """Copy a store, with all files of its scans in one folder, and records that say nothing of folders."""
    shutil.copytree(store, copy)
    for path in [*(copy / "scans").glob("*/*")]:
        path.rename(copy / "scans" / path.name)
    for folder in [*(copy / "scans").glob("*/")]:
        folder.rmdir()
    options, records = read_manifest(store)
    for record in records:
        del record["folder"]
        write_json(record_path(copy, record), record)
    write_manifest(copy, options, records)
    return copy
