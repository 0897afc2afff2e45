"""One 112x112x64 window of a 512x512x300 CT by every path that people use, side by side.

    python benchmarks/data_path.py [--out data_path.json] [--repeats 15]

Warm: the files are in the page cache, so this measures decoding and copying, not the disk, and what else runs on the
machine does not count. Beside the time stands the size of the file. Every path ends with the
same float32 window in [0, 1], which is checked.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import nibabel as nib
import numpy as np
import torch
from monai.transforms import LoadImage

from monai_ssl.store import CTWindow, PrepareOptions, Scan, Store, prepare
from monai_ssl.store.remote.upload import upload

SHAPE, WINDOW = (512, 512, 300), (112, 112, 64)
OURS, COMPRESSED = "monai_ssl store", "monai_ssl store, compressed"
UPLOADED = ", uploaded, in the cache"

Place = tuple[slice, ...]
Reader = Callable[[Place], np.ndarray]


def ct_like(shape: tuple[int, ...]) -> np.ndarray:
    """Return int16 HU: air, an elliptic body, lungs, 15 HU of noise in each voxel, which no codec predicts."""
    x, y, z = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in shape)]
    body = (x / 0.8) ** 2 + (y / 0.6) ** 2 + 0 * z < 1
    lungs = ((np.abs(x) - 0.35) / 0.25) ** 2 + (y / 0.4) ** 2 + (z / 0.7) ** 2 < 1
    hu = np.where(lungs, -850, np.where(body, 40, -1000)).astype(np.int16)
    rng = np.random.default_rng(0)
    for plane, inside in zip(hu, body, strict=True):
        plane += (rng.normal(0, 15, plane.shape) * inside).astype(np.int16)
    return hu


def paths(folder: Path, hu: np.ndarray) -> dict[str, tuple[Reader, Path]]:
    """Write the volume in every format, and return how to get a window from each, and the file."""
    scale = CTWindow()
    nii = folder / "src" / "ct.nii.gz"
    nii.parent.mkdir()
    nib.save(nib.Nifti1Image(hu, np.eye(4)), nii)
    scans = {OURS: prepared(nii, folder / "store", False), COMPRESSED: prepared(nii, folder / "compressed", True)}
    tensor, array = folder / "ct.pt", folder / "ct.npy"
    torch.save(torch.from_numpy(hu), tensor)
    np.save(array, hu)
    load_mapped = LoadImage(reader="NumpyReader", image_only=True, mmap_mode="r", dtype=None)
    found: dict[str, tuple[Reader, Path]] = {
        "nii.gz, whole (nibabel)": (lambda place: scale(np.asanyarray(nib.load(nii).dataobj)[place]), nii),
        "tensor, whole (torch.load)": (
            lambda place: scale(torch.load(tensor, weights_only=True).numpy()[place]),
            tensor,
        ),
        "tensor, mapped (torch.load(mmap=True))": (
            lambda place: scale(torch.load(tensor, weights_only=True, mmap=True).numpy()[place]),
            tensor,
        ),
        "npy, mapped (MONAI LoadImage)": (lambda place: scale(np.asarray(load_mapped(array))[place]), array),
    }
    os.environ["MONAI_SSL_CACHE"] = str(folder / "cache")
    scans |= {OURS + UPLOADED: uploaded(folder / "store"), COMPRESSED + UPLOADED: uploaded(folder / "compressed")}
    for name, scan in scans.items():
        scan[:, :1]
        found[name] = (lambda place, scan=scan: scan[(slice(None), *place)][0]), scan.path
    return found


def prepared(nii: Path, store: Path, compress: bool) -> Scan:
    """Return the scan of a new store."""
    prepare(nii, store, PrepareOptions(modality="ct", workers=0, compress=compress))
    return Store(store)[0]


def uploaded(store: Path) -> Scan:
    """Return the scan of a store that was uploaded into a folder, as it is to object storage."""
    upload(store, store.with_name(f"{store.name}_uploaded"))
    return Store(store.with_name(f"{store.name}_uploaded"))[0]


def places(count: int) -> list[Place]:
    """Return random windows, the same for every path."""
    rng = np.random.default_rng(1)
    starts = [[int(rng.integers(0, n - w + 1)) for n, w in zip(SHAPE, WINDOW, strict=True)] for _ in range(count)]
    return [tuple(slice(s, s + w) for s, w in zip(start, WINDOW, strict=True)) for start in starts]


def milliseconds(read: Reader, hu: np.ndarray, repeats: int) -> float:
    """Return the median CPU time of a read; the first is a check and warms up."""
    first, *others = places(repeats + 1)
    np.testing.assert_array_equal(read(first), CTWindow()(hu[first]))
    times = []
    for place in others:
        start = time.process_time()
        read(place)
        times.append(time.process_time() - start)
    return 1000 * statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--repeats", type=int, default=15, help="reads by each path; default: 15")
    args = parser.parse_args()
    torch.set_num_threads(1)
    hu = ct_like(SHAPE)
    with tempfile.TemporaryDirectory() as folder:
        found = paths(Path(folder), hu)
        times = {name: milliseconds(read, hu, args.repeats) for name, (read, _) in found.items()}
        megabytes = {name: file.stat().st_size / 1e6 for name, (_, file) in found.items()}
    window, whole = "x".join(map(str, WINDOW)), "x".join(map(str, SHAPE))
    print(f"one {window} window of {whole} int16, median CPU time of {args.repeats}, warm")
    for name, ms in times.items():
        print(f"{name:<50}{ms:>10.2f} ms{ms / times[OURS]:>9.1f} x{megabytes[name]:>9.1f} MB")
    if args.out:
        facts = {"ours": OURS, "machine": platform.platform(), "cores": os.cpu_count(), "torch": torch.__version__}
        args.out.write_text(json.dumps({**facts, "milliseconds": times, "megabytes": megabytes}, indent=1))


if __name__ == "__main__":
    main()
