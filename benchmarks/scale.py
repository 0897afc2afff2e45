"""Stores of a hundred to a hundred thousand scans: opening, first batch, and memory of loader workers, side by side.

    python benchmarks/scale.py [--scans 100 1000 100000] [--batches 3000] [--out scale.json]

The scans are links to a few small arrays, so that the disk is not what is measured; records are those that `prepare`
writes, under other keys and patients. Each number is from a process of its own. Memory of a worker is its private
memory (`Private_Clean` + `Private_Dirty` of Linux), which other processes do not share.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
_LINKS = 20_000
"""Names that one array gets at most: file systems have a limit."""


def write_store(folder: Path, scans: int) -> None:
    """Write a store of so many scans of 16 x 16 x 16 voxels."""
    from monai_ssl.samples.phantom import write_phantom_cohort
    from monai_ssl.store import PrepareOptions, prepare
    from monai_ssl.store.layout import array_path, folder_of
    from monai_ssl.store.manifest import read_manifest
    from monai_ssl.store.records import write_manifest

    write_phantom_cohort(folder / "raw", 3, shape=(16, 16, 16))
    prepare(folder / "raw" / "ct", folder / "store", PrepareOptions(workers=0))
    options, [record, *_] = read_manifest(folder / "store")
    source, records = array_path(folder / "store", record), []
    for number in range(scans):
        if number % _LINKS == 0:
            base = folder / f"array{number}.npy"
            base.write_bytes(source.read_bytes())
        key = hashlib.sha256(str(number).encode()).hexdigest()[:16]
        own = {"key": key, "folder": folder_of(key), "patient": f"{number // 3:012x}", "content": f"{number:064x}"}
        records.append({**record, **own})
        link = array_path(folder / "store", records[-1])
        link.parent.mkdir(exist_ok=True)
        os.link(base, link)
    write_manifest(folder / "store", options, records)


def private_memory(process: int | str = "self") -> float:
    """Return the memory of a process that no other process shares, in MB."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def opened(store: str) -> dict[str, float]:
    """Open a store as a training does."""
    from monai_ssl.data import PretrainingScans, WindowDataset  # noqa: F401 (imports are not what is measured)

    memory, begun, busy = private_memory(), time.perf_counter(), time.process_time()
    scans = PretrainingScans(store, "unused", 3, validation=0.1)
    seconds, busy = time.perf_counter() - begun, time.process_time() - busy
    assert len(scans.train)
    return {"open_seconds": seconds, "open_cpu_seconds": busy, "open_megabytes": private_memory() - memory}


def loaded(store: str, batches: int) -> dict[str, float]:
    """Load batches with two workers, and look at the memory of one of them at the first and at the last batch."""
    from monai_ssl.data import PretrainingScans, WindowDataset, endless_loader
    from monai_ssl.transforms import RandWindowCropd

    scans = PretrainingScans(store, "unused", 3, validation=0.0)
    loader = endless_loader(WindowDataset(scans.train, [RandWindowCropd("image", (8, 8, 8))]), 4, 2)
    begun = time.perf_counter()
    stream = iter(loader)
    next(stream)
    first = time.perf_counter() - begun
    workers = [worker.pid for worker in multiprocessing.active_children()]
    # what each worker imports and opens once is there
    for _ in range(100):
        next(stream)
    before = private_memory(workers[0])
    for _ in range(batches):
        next(stream)
    return {"first_batch_seconds": first, "worker_growth_megabytes": private_memory(workers[0]) - before}


def measured(scans: int, batches: int) -> dict[str, Any]:
    """Return all figures of a store of so many scans."""
    with tempfile.TemporaryDirectory() as folder:
        write_store(Path(folder), scans)
        store = Path(folder, "store")
        figures: dict[str, Any] = {"scans": scans}
        figures |= {name: (store / name).stat().st_size / 2**20 for name in ("manifest.json", "manifest.table")}
        for work in (["--opened", str(store)], ["--loaded", str(store), "--batches", str(batches)]):
            printed = subprocess.check_output([sys.executable, __file__, *work], text=True)
            figures |= json.loads(printed.splitlines()[-1])
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=int, nargs="+", default=[100, 1000, 100_000])
    parser.add_argument("--batches", type=int, default=3000)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--opened", help=argparse.SUPPRESS)
    parser.add_argument("--loaded", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.opened or args.loaded:
        print(json.dumps(opened(args.opened) if args.opened else loaded(args.loaded, args.batches)))
        return
    rows = [measured(scans, args.batches) for scans in args.scans]
    for name in rows[0]:
        print(f"{name:26}", *(f"{row[name]:>12.4g}" for row in rows))
    growth = [row["open_cpu_seconds"] / rows[0]["open_cpu_seconds"] for row in rows]
    print(f"{'growth':26}", *(f"{times:>11.1f}x" for times in growth), "(opening, processor time)")
    if args.out:
        args.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
