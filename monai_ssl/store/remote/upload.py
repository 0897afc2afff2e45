"""Upload a store as shards to object storage, or into a folder; what is there is not uploaded again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from monai_ssl.machine import bar_interval
from monai_ssl.places import place_of
from monai_ssl.store.layout import FORMAT, MANIFEST
from monai_ssl.store.manifest import read_manifest
from monai_ssl.store.remote.head import HEAD, head_text, manifest_path, read_head
from monai_ssl.store.remote.opening import is_uploaded, open_uploaded
from monai_ssl.store.remote.shards import FOLDER, length_of, name_of, offsets, packed, shard_path, write_shard
from monai_ssl.store.remote.storage import file_system

_PLACE = ("shard", "offset", "sha256")


class Upload(NamedTuple):
    """What was done.

    Args:
        place: folder or URL.
        scans: in the uploaded store.
        already: of them, there before.
        shards: written.
        bytes: of these.
    """

    place: str | Path
    scans: int
    already: int
    shards: int
    bytes: int


def upload(store: str | Path, target: str | Path, shard_size: int = 10**9) -> Upload:
    """Write the scans of a store as shards of about equal size, then its manifest; nothing of ``private`` is read.

    Interrupted, the next call writes the shards that are not whole. A store that has grown is uploaded to the same
    place: what is new goes into shards of its own, and who trains on the former one is not disturbed.

    Args:
        store: folder that ``prepare`` wrote.
        target: URL that fsspec knows, such as ``s3://bucket/prefix``, or a folder.
        shard_size: bytes of a shard at most, unless one scan has more.

    Raises:
        ValueError: when ``store`` is no store in a folder, ``target`` holds another one or cannot be written.
    """
    store, target = place_of(store), place_of(target)
    if isinstance(store, str) or is_uploaded(store):
        raise ValueError(f"{store} is an uploaded store: upload the folder that `prepare` wrote.")
    if isinstance(target, Path) and _holds_others(target):
        raise ValueError(f"{target} is not empty and no uploaded store: name a new folder.")
    if not (store / MANIFEST).is_file():
        raise ValueError(f"{store} is not a store: make one with `python -m monai_ssl prepare SRC {store}`.")
    options, records = read_manifest(store)
    root = target if isinstance(target, str) else str(target.absolute())
    known = _known(root, options, records)
    placed = [{**record, **known[record["key"]]} for record in records if record["key"] in known]
    new = [record for record in records if record["key"] not in known]
    done = Upload(target, len(records), len(placed), 0, 0)
    total = sum(record["bytes"] for record in new)
    with tqdm(total=total, unit="B", unit_scale=True, desc="upload", mininterval=bar_interval()) as bar:
        for shard in packed(sorted(new, key=lambda record: str(record["key"])), shard_size):
            name = name_of(shard)
            written, hashes = _put(root, name, store, shard)
            done = done._replace(shards=done.shards + written, bytes=done.bytes + length_of(shard) * written)
            for record, offset, sha256 in zip(shard, offsets(shard), hashes, strict=True):
                placed.append({**record, "shard": name, "offset": offset, "sha256": sha256})
            bar.update(sum(record["bytes"] for record in shard))
    # folders of the store mean nothing there
    scans = [{name: value for name, value in record.items() if name != "folder"} for record in placed]
    content = json.dumps({"format": FORMAT, "options": options, "scans": scans}, allow_nan=False).encode()
    manifest = hashlib.sha256(content).hexdigest()
    _write(manifest_path(root, manifest), content)
    _write(f"{root}/{HEAD}", head_text(manifest))
    return done


def _holds_others(target: Path) -> bool:
    """Whether a folder holds what is neither an uploaded store nor one that was begun."""
    return target.exists() and not is_uploaded(target) and any(path.name != FOLDER for path in target.iterdir())


def _known(root: str, options: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the places of the scans that are uploaded already, by key."""
    if read_head(root) is None:
        return {}
    former_options, former = read_manifest(open_uploaded(root)[0])
    here = {record["key"]: record for record in records}
    others = [record["key"] for record in former if record["key"] not in here]
    if former_options != options or others:
        what = f"{len(others)} scans that this store lacks" if others else "scans prepared with other options"
        raise ValueError(f"{root} holds {what}: it is another store; upload to another place.")
    same = [r for r in former if all(r.get(name) == here[r["key"]].get(name) for name in ("bytes", "compression"))]
    return {record["key"]: {name: record[name] for name in _PLACE} for record in same}


def _put(root: str, name: str, store: Path, records: Sequence[Mapping[str, Any]]) -> tuple[bool, list[str]]:
    """Write a shard unless it is there whole; return whether it was written, and the sha256 of each scan."""
    place = shard_path(root, name)
    storage, path = file_system(place)
    with _sentences(place):
        storage.invalidate_cache()
        there = storage.exists(path) and storage.size(path) == length_of(records)
    if there:
        return False, write_shard(store, records, None)
    with _writing(place) as file:
        return True, write_shard(store, records, file)


def _write(place: str, content: bytes) -> None:
    with _writing(place) as file:
        file.write(content)


@contextmanager
def _writing(place: str) -> Iterator[Any]:
    storage, path = file_system(place)
    with _sentences(place):
        storage.makedirs(storage._parent(path), exist_ok=True)
        with storage.open(path, "wb") as file:
            yield file


@contextmanager
def _sentences(place: str) -> Iterator[None]:
    try:
        yield
    except ValueError:
        raise
    # each library has errors of its own
    except Exception as error:
        raise ValueError(f"{place} cannot be written ({error or type(error).__name__}).") from error


__all__ = ["Upload", "upload"]
