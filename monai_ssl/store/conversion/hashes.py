"""Hashes of the content of sources, by their files' names, sizes and times: what is known is not read again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from monai_ssl.files import write_json
from monai_ssl.store.layout import PRIVATE, memory

_HASHES = "hashes.json"


def known_hashes(store: Path) -> dict[str, str]:
    """Return what earlier runs and shards of runs noted down."""
    known: dict[str, str] = {}
    for path in sorted((store / PRIVATE).glob("hashes*.json")):
        known |= memory(path)
    return known


def write_hashes(store: Path, hashes: Mapping[str, str], shard: tuple[int, int] | None = None) -> None:
    """Write the hashes of a shard, or those of all runs, which replace those of shards."""
    folder = store / PRIVATE
    name = _HASHES if shard is None else "hashes-{}-of-{}.json".format(*shard)
    write_json(folder / name, dict(sorted(hashes.items())), mode=0o600)
    if shard is None:
        for path in folder.glob("hashes-*.json"):
            path.unlink()


__all__ = ["known_hashes", "write_hashes"]
