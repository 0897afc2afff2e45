"""Our batched transforms against MONAI's one by one and the loops of their definitions, on one core of the CPU.

    python benchmarks/transforms.py [--batch 16] [--repeats 3] [--out transforms.json]

Milliseconds of processor time a sample of 64 x 64 x 32. The transforms of a row do the same kind of work, not bit for
bit the same. Reported is each time and its ratio to ours.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import monai.transforms as mt
import numpy as np
import sidebyside
import torch
from torch import Tensor

import monai_ssl.transforms as ours

SHAPE = (64, 64, 32)
Calls = dict[str, Callable[[], Any]]


def shuffle_by_loop(image: np.ndarray, random: np.random.RandomState, windows: int = 10_000) -> np.ndarray:
    """Local shuffling as it is defined: window by window."""
    out = image.copy()
    for _ in range(windows):
        size = [random.randint(1, side // 10 + 1) for side in image.shape]
        start = [random.randint(0, side - n + 1) for side, n in zip(image.shape, size, strict=True)]
        window = tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))
        out[window] = random.permutation(image[window].ravel()).reshape(size)
    return out


def swap_by_loop(image: np.ndarray, random: np.random.RandomState, swaps: int = 100) -> np.ndarray:
    """Swaps of two patches, one after the other."""
    out, patch = image.copy(), (8, 4, 4)
    for _ in range(swaps):
        places = [[random.randint(0, s - p + 1) for s, p in zip(image.shape, patch, strict=True)] for _ in range(2)]
        one, two = (tuple(slice(a, a + p) for a, p in zip(at, patch, strict=True)) for at in places)
        out[one], out[two] = out[two].copy(), out[one].copy()
    return out


def bezier_by_loop(image: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """The curve of Models Genesis by interpolation between 1000 points, sample by sample."""
    t = np.linspace(0, 1, 1000)[:, None]
    inner = random.rand(2, 2)
    x, y = (3 * (1 - t) ** 2 * t * inner[0] + 3 * (1 - t) * t**2 * inner[1] + t**3).T
    return np.interp(image, x, y)


def rows(x: Tensor) -> dict[str, Calls]:
    """Return for each kind of work who does it, ours first; each treats the whole batch."""
    arrays, random = [image[0].numpy() for image in x], np.random.RandomState(0)

    def batched(transform: Any) -> Callable[[], Any]:
        return lambda: transform.batch({"image": x})

    def one_by_one(transform: Any) -> Callable[[], Any]:
        return lambda: torch.stack([transform(image) for image in x])

    def loop(function: Callable[[np.ndarray, np.random.RandomState], np.ndarray]) -> Callable[[], Any]:
        return lambda: np.stack([function(image, random) for image in arrays])

    holes = {"holes": 6, "spatial_size": (12, 12, 6), "prob": 1.0}
    turn = {"prob": 1.0, "rotate_range": [0.17] * 3, "scale_range": 0.1, "padding_mode": "zeros"}
    return {
        "local shuffling, 10,000 windows": {
            "ours": batched(ours.RandLocalShufflingd("image", 1.0)),
            "loop": loop(shuffle_by_loop),
        },
        "pixel shuffling, 10 windows": {
            "ours": batched(ours.RandLocalShufflingd("image", 1.0, 10)),
            "MONAI RandCoarseShuffle": one_by_one(mt.RandCoarseShuffle(**holes)),
        },
        "100 swaps of patches": {
            "ours": batched(ours.RandPatchSwapd("image", num_swaps=100)),
            "loop": loop(swap_by_loop),
        },
        "Bezier curve": {
            "ours": batched(ours.RandBezierd("image", 1.0)),
            "loop": loop(bezier_by_loop),
            "MONAI RandHistogramShift": one_by_one(mt.RandHistogramShift(prob=1.0)),
        },
        "affine": {
            "ours": batched(ours.RandAffineBatchd("image")),
            "MONAI RandAffine": one_by_one(mt.RandAffine(**turn)),
        },
        "Gaussian blur": {
            "ours": batched(ours.RandGaussianBlurd("image")),
            "MONAI RandGaussianSmooth": one_by_one(mt.RandGaussianSmooth((0.25, 2), (0.25, 2), (0.25, 2), prob=1.0)),
        },
        "Gaussian noise": {
            "ours": batched(ours.RandGaussianNoiseBatchd("image")),
            "MONAI RandGaussianNoise": one_by_one(mt.RandGaussianNoise(prob=1.0)),
        },
        "flips": {
            "ours": batched(ours.RandFlipBatchd("image")),
            "MONAI RandFlip": one_by_one(mt.RandFlip(prob=0.5, spatial_axis=0)),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    x = torch.rand(args.batch, 1, *SHAPE, generator=torch.Generator().manual_seed(0))
    result = {}
    for work, calls in rows(x).items():
        times = sidebyside.milliseconds(calls, args.repeats, args.batch)
        result[work] = {name: {"ms": ms, "ratio": ms / times["ours"]} for name, ms in times.items()}
        for name, ms in times.items():
            print(f"{work:34s}{name:26s}{ms:9.2f} ms{ms / times['ours']:9.1f} x", flush=True)
    sidebyside.write(args.out, {"batch": args.batch, "rows": result})


if __name__ == "__main__":
    main()
