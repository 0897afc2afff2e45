"""How fast the headers of a DICOM archive are read and sorted into scans, and what they hold in memory meanwhile.

    python benchmarks/headers.py [--scans 100] [--slices 64] [--workers 2] [--out headers.json]

`prepare` reads every header before it decodes a pixel, and an archive has hundreds of files a scan. Candidates take
turns in one process, in wall-clock time: pydicom reading headers alone, ours in this process, which also takes from
them what tells slices and volumes apart, and ours with workers, whose start is counted.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import tracemalloc
from functools import partial
from pathlib import Path

import numpy as np
import pydicom
import sidebyside
from preparing import write_dicom

from monai_ssl.io.dicom.groups import group_dicom, read_headers
from monai_ssl.store.conversion.headers import headers_by
from monai_ssl.store.conversion.pool import WorkerPool


def write_archive(folder: Path, scans: int, slices: int) -> list[Path]:
    """Write scans of 8 x 8 pixels a slice: pixels are not what is measured."""
    for number in range(scans):
        write_dicom(np.full((8, 8, slices), number, np.int16), folder / f"p{number}")
    return sorted(folder.rglob("*.dcm"))


def bytes_a_file(files: list[Path]) -> float:
    """Return what a file takes at the peak, while all are sorted into scans; their paths are there before."""
    tracemalloc.start()
    group_dicom(files)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / len(files)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=int, default=100)
    parser.add_argument("--slices", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        files = write_archive(Path(place), args.scans, args.slices)
        pool = WorkerPool(read_headers, args.workers, ["monai_ssl.io.dicom.groups", "pydicom"])
        calls = {
            "pydicom, headers alone": lambda: [pydicom.dcmread(path, stop_before_pixels=True) for path in files],
            "one process": lambda: group_dicom(files),
            f"{args.workers} workers": lambda: group_dicom(files, partial(headers_by, pool)),
        }
        milliseconds = sidebyside.milliseconds(calls, args.repeats, len(files), clock=time.perf_counter)
        memory = bytes_a_file(files)
    for name, ms in milliseconds.items():
        ratio = milliseconds["pydicom, headers alone"] / ms
        print(f"{name:24s}{1000 / ms:8.0f} files a second, {ratio:5.2f} of pydicom alone", flush=True)
    print(f"{memory:.0f} bytes a file at the peak of sorting")
    result = {"files": len(files), "workers": args.workers, "milliseconds": milliseconds, "bytes_a_file": memory}
    sidebyside.write(args.out, result)


if __name__ == "__main__":
    main()
