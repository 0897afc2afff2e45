"""One 112x112x64 window of a 512x512x300 CT by every path that people use, side by side.

    python benchmarks/data_path.py [--out data_path.json] [--repeats 15]

Warm: the files are in the page cache, so this measures decoding and copying, not the disk. Every path ends with the
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

from monai_ssl.store import CTWindow, PrepareOptions, Store, prepare

SHAPE, WINDOW = (512, 512, 300), (112, 112, 64)
OURS = "monai_ssl store"

Place = tuple[slice, ...]
Reader = Callable[[Place], np.ndarray]


def ct_like(shape: tuple[int, ...]) -> np.ndarray:
    """Return int16 HU that compress about as CT does: air, an elliptic body, lungs, noise."""
    x, y, z = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in shape)]
    body = (x / 0.8) ** 2 + (y / 0.6) ** 2 + 0 * z < 1
    lungs = ((np.abs(x) - 0.35) / 0.25) ** 2 + (y / 0.4) ** 2 + (z / 0.7) ** 2 < 1
    hu = np.where(lungs, -850, np.where(body, 40, -1000)).astype(np.int16)
    noise = np.random.default_rng(0).normal(0, 15, shape[1:])
    hu += (noise[None] * body).astype(np.int16)
    return hu


def paths(folder: Path, hu: np.ndarray) -> dict[str, Reader]:
    """Write the volume in every format, and return how to get a window from each."""
    scale = CTWindow()
    nii = folder / "src" / "ct.nii.gz"
    nii.parent.mkdir()
    nib.save(nib.Nifti1Image(hu, np.eye(4)), nii)
    prepare(nii, folder / "store", PrepareOptions(modality="ct", workers=0))
    scan = Store(folder / "store")[0]
    tensor, array = folder / "ct.pt", folder / "ct.npy"
    torch.save(torch.from_numpy(hu), tensor)
    np.save(array, hu)
    load_mapped = LoadImage(reader="NumpyReader", image_only=True, mmap_mode="r", dtype=None)
    found: dict[str, Reader] = {
        "nii.gz, whole (nibabel)": lambda place: scale(np.asanyarray(nib.load(nii).dataobj)[place]),
        "tensor, whole (torch.load)": lambda place: scale(torch.load(tensor, weights_only=True).numpy()[place]),
        "tensor, mapped (torch.load(mmap=True))": lambda place: scale(
            torch.load(tensor, weights_only=True, mmap=True).numpy()[place]
        ),
        "npy, mapped (MONAI LoadImage)": lambda place: scale(np.asarray(load_mapped(array))[place]),
    }
    found |= _blosc2(folder, hu, scale)
    found[OURS] = lambda place: scan[(slice(None), *place)][0]
    return found


def _blosc2(folder: Path, hu: np.ndarray, scale: CTWindow) -> dict[str, Reader]:
    try:
        import blosc2
    except ImportError:
        return {}
    path = str(folder / "ct.b2nd")
    blosc2.asarray(hu, urlpath=path, chunks=(64, 64, 64), blocks=(16, 16, 16), cparams={"codec": blosc2.Codec.LZ4})
    return {"blosc2, lz4": lambda place: scale(blosc2.open(path, mmap_mode="r")[place])}


def places(count: int) -> list[Place]:
    """Return random windows, the same for every path."""
    rng = np.random.default_rng(1)
    starts = [[int(rng.integers(0, n - w + 1)) for n, w in zip(SHAPE, WINDOW, strict=True)] for _ in range(count)]
    return [tuple(slice(s, s + w) for s, w in zip(start, WINDOW, strict=True)) for start in starts]


def milliseconds(read: Reader, hu: np.ndarray, repeats: int) -> float:
    """Return the median time of a read; the first is a check and warms up."""
    first, *others = places(repeats + 1)
    np.testing.assert_array_equal(read(first), CTWindow()(hu[first]))
    times = []
    for place in others:
        start = time.perf_counter()
        read(place)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--repeats", type=int, default=15, help="reads by each path; default: 15")
    args = parser.parse_args()
    torch.set_num_threads(1)
    hu = ct_like(SHAPE)
    with tempfile.TemporaryDirectory() as folder:
        times = {name: milliseconds(read, hu, args.repeats) for name, read in paths(Path(folder), hu).items()}
    print(
        f"one {'x'.join(map(str, WINDOW))} window of {'x'.join(map(str, SHAPE))} int16, median of {args.repeats}, warm"
    )
    for name, ms in times.items():
        print(f"{name:<42}{ms:>10.2f} ms{ms / times[OURS]:>9.1f} x")
    if args.out:
        facts = {"machine": platform.platform(), "cores": os.cpu_count(), "torch": torch.__version__}
        args.out.write_text(json.dumps({"milliseconds": times, "ours": OURS, **facts}, indent=1))


if __name__ == "__main__":
    main()
