"""The same work by packages that people use and by ours, side by side in one run on one core.

    python benchmarks/peers.py [--scans 4 10] [--patches 32] [--out peers.json]

1. Augmentation of patches in memory: our batched views, MONAI, torchio, batchgeneratorsv2 (the latter two if they are
   installed), the same kinds of transforms with the same ranges.
2. Whole pipelines from files to augmented patches: nii.gz with MONAI's transforms, MONAI's PersistentDataset, torchio's
   queue, and our store with views; for several numbers of scans, with patches a second of processor time and the
   growth of memory. ``--scans 10 100 1000 --patches 160`` is the full comparison, for which 20 GB of disk are enough.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import monai.transforms as mt
import nibabel as nib
import numpy as np
import sidebyside
import torch
from monai.data import Dataset, PersistentDataset
from torch import Tensor

import monai_ssl.transforms as ours
from monai_ssl.data import WindowDataset
from monai_ssl.data.windows import endless_loader
from monai_ssl.store import PrepareOptions, Store, prepare

PATCH, SCAN, BATCH = (64, 64, 32), (160, 160, 80), 16
DEGREES, SCALE, SIGMA, NOISE = 10, (0.9, 1.1), (0.25, 2.0), 0.1
Pipelines = dict[str, Callable[[], Iterator[Tensor]]]


def our_views() -> ours.BatchViews:
    return ours.BatchViews(
        [
            ours.RandFlipBatchd("image", [0.5, 0, 0]),
            ours.RandAffineBatchd("image", DEGREES, SCALE),
            ours.RandGaussianBlurd("image", SIGMA),
            ours.RandGaussianNoiseBatchd("image", [NOISE, NOISE]),
        ]
    )


def monai_views() -> mt.Compose:
    turn = {"rotate_range": [np.radians(DEGREES)] * 3, "scale_range": 0.1, "padding_mode": "zeros"}
    return mt.Compose(
        [
            mt.RandFlip(0.5, 0),
            mt.RandAffine(1.0, **turn),
            mt.RandGaussianSmooth(SIGMA, SIGMA, SIGMA, prob=1.0),
            mt.RandGaussianNoise(1.0, std=NOISE, sample_std=False),
        ]
    )


def torchio_views() -> Callable[[Tensor], Tensor]:
    import torchio as tio

    return tio.Compose(
        [
            tio.RandomFlip(0, flip_probability=0.5),
            tio.RandomAffine(scales=SCALE, degrees=DEGREES),
            tio.RandomBlur(SIGMA),
            tio.RandomNoise(std=(NOISE, NOISE)),
        ]
    )


def batchgenerators_views() -> Callable[[Tensor], Tensor]:
    from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
    from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
    from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
    from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
    from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms

    angle = (-np.radians(DEGREES), np.radians(DEGREES))
    chain = ComposeTransforms(
        [
            MirrorTransform((0,)),
            SpatialTransform(
                PATCH, 0, False, p_elastic_deform=0, p_rotation=1, rotation=angle, p_scaling=1, scaling=SCALE
            ),
            GaussianBlurTransform(SIGMA),
            GaussianNoiseTransform((0, NOISE**2)),
        ]
    )
    return lambda image: chain(image=image)["image"]


def augmentation(repeats: int) -> dict[str, float]:
    """Return milliseconds of processor time a patch, by package."""
    x = torch.rand(BATCH, 1, *PATCH, generator=torch.Generator().manual_seed(0))
    views, made = our_views(), {"MONAI one by one": monai_views()}
    for name, make in (("torchio", torchio_views), ("batchgeneratorsv2", batchgenerators_views)):
        try:
            made[name] = make()  # type: ignore[assignment]
        except ImportError as error:
            print(f"{name} is left out: {error}")
    candidates: dict[str, Callable[[], Any]] = {"ours": lambda: views({"image": x})}
    candidates |= {name: (lambda t=t: torch.stack([t(image) for image in x])) for name, t in made.items()}
    return sidebyside.milliseconds(candidates, repeats, BATCH)


def write_scans(folder: Path, count: int) -> list[str]:
    """Write int16 volumes that compress about as CT does."""
    random = np.random.default_rng(0)
    folder.mkdir()
    files = []
    for i in range(count):
        hu = np.full(SCAN, -1000, dtype=np.int16)
        hu[20:140, 30:130] = random.normal(40, 15, (120, 100, SCAN[2]))
        files.append(str(folder / f"scan{i:04d}.nii.gz"))
        nib.save(nib.Nifti1Image(hu, np.eye(4)), files[-1])
    return files


def pipelines(folder: Path, files: list[str]) -> Pipelines:
    """Return who makes endless batches of augmented patches from files, prepared once where a package does so."""
    items = [{"image": file} for file in files]
    load = [
        mt.LoadImaged("image"),
        mt.EnsureChannelFirstd("image"),
        mt.ScaleIntensityRanged("image", -1000, 1000, 0, 1, clip=True),
    ]
    crop = [mt.RandSpatialCropd("image", PATCH, random_size=False)]
    persistent = PersistentDataset(items, mt.Compose([*load, *crop]), cache_dir=folder / "cache")
    for i in range(len(items)):
        persistent[i]
    prepare(Path(files[0]).parent, folder / "store", PrepareOptions(modality="ct", workers=0))
    window = ours.RandWindowCropd("image", PATCH)
    store = WindowDataset(list(Store(folder / "store")), [window], windows_per_scan=1)
    found: Pipelines = {
        "ours": lambda: _viewed(endless_loader(store, BATCH)),
        "nii.gz, MONAI": lambda: _one_by_one(Dataset(items, mt.Compose([*load, *crop]))),
        "PersistentDataset, MONAI": lambda: _one_by_one(persistent),
    }
    try:
        import torchio  # noqa: F401

        found["torchio queue"] = lambda: _queue(files)
    except ImportError:
        pass
    return found


def _viewed(loader: Any) -> Iterator[Tensor]:
    views = our_views()
    for batch in loader:
        yield views({"image": batch["view"]})["image"]


def _one_by_one(dataset: Any) -> Iterator[Tensor]:
    views, random = monai_views(), np.random.default_rng(0)
    while True:
        yield torch.stack([views(dataset[int(i)]["image"]) for i in random.integers(len(dataset), size=BATCH)])


def _queue(files: list[str]) -> Iterator[Tensor]:
    import torchio as tio

    scale = tio.RescaleIntensity((0, 1), in_min_max=(-1000, 1000))
    views = torchio_views()
    subjects = tio.SubjectsDataset([tio.Subject(image=tio.ScalarImage(file)) for file in files], transform=scale)
    while True:
        queue = tio.Queue(subjects, 4 * BATCH, 4, tio.UniformSampler(PATCH), num_workers=0)
        for batch in torch.utils.data.DataLoader(queue, BATCH, collate_fn=lambda b: [s["image"].data for s in b]):
            yield torch.stack([views(image) for image in batch])


def measure(make: Callable[[], Iterator[Tensor]], patches: int) -> dict[str, float]:
    """Return patches a second of processor time and the growth of memory in MB; the first batch is not counted."""
    before = _resident_mb()
    batches = make()
    next(batches)
    start, count = time.process_time(), 0
    while count < patches:
        count += len(next(batches))
    seconds = time.process_time() - start
    return {"patches_per_second": count / seconds, "growth_mb": _resident_mb() - before}


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=int, nargs="*", default=[4])
    parser.add_argument("--patches", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    times = augmentation(args.repeats)
    for name, ms in times.items():
        print(f"augmentation {name:28s}{ms:9.2f} ms a patch{ms / times['ours']:8.1f} x", flush=True)
    result: dict[str, Any] = {}
    for count in args.scans:
        with tempfile.TemporaryDirectory() as folder:
            made = pipelines(Path(folder), write_scans(Path(folder) / "src", count))
            rows = {name: measure(make, args.patches) for name, make in made.items()}
        result[str(count)] = rows
        for name, row in rows.items():
            rate = row["patches_per_second"]
            ratio = rows["ours"]["patches_per_second"] / rate
            said = f"{rate:8.1f} patches/s, ours {ratio:6.1f} x, memory {row['growth_mb']:+.0f} MB"
            print(f"{count:5d} scans, {name:26s}{said}", flush=True)
    sidebyside.write(args.out, {"augmentation_ms": times, "pipelines": result})


if __name__ == "__main__":
    main()
