"""Draw what each transform does and what each method sees, on phantoms: ``python docs/make_figures.py OUT``."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.transforms import Randomizable
from torch import Tensor

import monai_ssl.transforms as transforms
from monai_ssl.cli.preview import make_batch, read_bundle
from monai_ssl.cli.preview_sheet import draw_sheet, images_of, mosaic, picture
from monai_ssl.samples.phantom import phantom_mr, phantom_xray, write_phantom_cohort
from monai_ssl.store import prepare

BUNDLES = Path(__file__).parents[1] / "bundles"
NAME = "image"
SIDE = 144
TABLE = transforms.permutation_table(9, 20)
TASKS: dict[str, dict[str, Any]] = {
    "RandBaseCropsd": {"out_size": (60, 60), "grid": (2, 2)},
    "RandCellsd": {"cube": (40, 40), "cells": (3, 3)},
    "RandCubeMaskd": {"prob": 1.0},
    "RandCubeTurnsd": {"cells": (4, 4)},
    "RandDiagonalPaird": {"out_size": (90, 90)},
    "RandIoUPairCropd": {"out_size": (64, 64), "sizes": ((64, 64), (96, 80)), "num_locals": 0, "background": None},
    "RandJigsawd": {"cube": (40, 40), "permutations": TABLE},
    "RandMaskedTokensd": {"patch": 18, "views": 1},
    "RandMixedCutoutd": {},
    "RandMultiCropd": {"out_size": (96, 96), "local_out_size": (48, 48)},
    "RandPatchGridd": {"patch": (36, 36), "cells": (4, 4)},
    "RandRelativeLocationd": {"cube": (40, 40)},
    "RandRotationTaskd": {},
    "RandRubikd": {"cube": (40, 40), "permutations": TABLE},
    "RandScanCropsd": {"out_size": (64, 64), "number": 4},
    "RandVisibleBlocksd": {"block": 16},
    "RandVolumeFusiond": {},
    "RandWindowCropd": {"out_size": (96, 96)},
}
"""Arguments of the transforms that take one key."""

DISTURBANCES: dict[str, dict[str, Any]] = {
    "RandAffineBatchd": {"degrees": 15},
    "RandBezierd": {"prob": 1.0},
    "RandBlockMaskd": {"grid": 16},
    "RandBrightnessd": {"prob": 1.0},
    "RandColorJitterd": {},
    "RandCutoutd": {},
    "RandDistortiond": {"probs": (0.4, 0.2, 0.4)},
    "RandElasticBatchd": {"alpha": 200.0},
    "RandFlipBatchd": {},
    "RandFlipChaind": {"round_prob": 0.8},
    "RandGaussianBlurd": {"sigma": (1.0, 3.0)},
    "RandGaussianNoiseBatchd": {"std": (0.1, 0.25)},
    "RandGrayscaled": {"prob": 1.0},
    "RandLocalShufflingd": {"prob": 1.0},
    "RandPaintingd": {"prob": 1.0, "in_prob": 0.5},
    "RandPatchSwapd": {"patch_size": (16, 16), "num_swaps": 10},
    "RandPlaneRotationd": {"plane_prob": 1.0, "zoom_prob": 1.0},
    "RandRaysMaskd": {},
    "RandSignedGammad": {"log_gamma": (-1.0, 1.0)},
    "RandStripeMaskd": {"width": 4},
}
"""Arguments of the transforms that take several keys; strong enough to be seen."""

PAIRS = ("RandMixedCutoutd", "RandVolumeFusiond")
"""Transforms of several images at once."""

SMALLER: dict[str, dict[str, Any]] = {
    **{name: {"roi_size": [75, 75, 39], "cube_size": [32, 32, 16]} for name in ("jigsaw", "rubik", "rubik_plus")},
    "relative_location": {"roi_size": [90, 90, 42], "cube_size": [24, 24, 10]},
    "cpc": {"roi_size": [72, 72, 72], "patch_size": [18, 18, 18]},
    "transvw": {"num_words": 3, "visual_words#options#min_distance": 4},
}
"""Overrides for phantoms, which are smaller than the scans of the papers."""


def radiograph(seed: int = 0) -> Tensor:
    """Return a phantom radiograph (1, columns, rows) in [0, 1]."""
    pixels = torch.from_numpy(phantom_xray(seed, (SIDE, SIDE))[0].astype("float32"))
    return (pixels / pixels.max())[None]


def tinted(image: Tensor) -> Tensor:
    """Return a gray image (1, ...) in three unlike channels, for transforms of color."""
    return torch.cat([image, image**2, 1 - image])


def draw_transform(name: str, out: Path, draws: int = 4) -> None:
    """Write a picture of ``draws`` results of a transform beside its input."""
    image: Any = tinted(radiograph()) if name in ("RandColorJitterd", "RandGrayscaled") else radiograph()
    shown = picture(image, "")
    image = [image, radiograph(1).flip(2)] if name in PAIRS else image
    one_key = name in TASKS
    arguments: Mapping[str, Any] = {"key": NAME, **TASKS[name]} if one_key else {"keys": NAME, **DISTURBANCES[name]}
    transform: Randomizable = getattr(transforms, name)(**arguments)
    columns = {"input": [shown] * draws}
    for seed in range(draws):
        transform.set_random_state(seed + 1)
        columns |= {key: [*columns.get(key, []), shown] for key, shown in results(transform, image).items()}
    draw_columns(columns, out)


def results(transform: Callable[[dict[str, Any]], Mapping[Any, Any]], image: Any) -> dict[str, Any]:
    """Return the pictures of what a transform made of one image, by key."""
    done = transform({NAME: image})
    if isinstance(transform, transforms.RandMaskedTokensd):
        return {"masked": picture(without_tokens(image, done["masked"], transform.patch), "")}
    shown = {}
    for key, value in done.items():
        several = value if isinstance(value, list) else [value]
        if isinstance(several[0], Tensor) and several[0].ndim == 3:
            shown["result" if key == NAME else str(key)] = mosaic([picture(x.clamp(0, 1), "") for x in several])
    return shown


def without_tokens(image: Tensor, numbers: Tensor, patch: int) -> Tensor:
    """Return an image (1, columns, rows) whose tokens of those numbers are black; -1 is none."""
    visible = torch.ones(image.shape[1] // patch, image.shape[2] // patch)
    visible.view(-1)[numbers[numbers >= 0]] = 0
    return image * visible.repeat_interleave(patch, 0).repeat_interleave(patch, 1)


def draw_columns(columns: Mapping[str, list[Any]], out: Path) -> None:
    """Write a PNG: a row for the input, and one for each kind of result, with the draws side by side."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    results_of = {key: pictures for key, pictures in columns.items() if key != "input"}
    draws = len(columns["input"])
    figure = Figure(figsize=(1.5 * (draws + 1), 1.5 * len(results_of)), layout="constrained")
    grid = figure.subplots(len(results_of), draws + 1, squeeze=False)
    for row, (key, pictures) in enumerate(results_of.items()):
        for axes, shown in zip(grid[row], [columns["input"][0], *pictures], strict=True):
            axes.imshow(shown, cmap="gray", vmin=0, vmax=1)
            axes.set_axis_off()
        grid[row][0].set_title("input", fontsize=8)
        grid[row][1].set_title(key, fontsize=8)
    FigureCanvasAgg(figure).print_png(str(out), metadata={"Software": None})


def draw_views(method: str, store: Path, out: Path) -> None:
    """Write the sheet of what a method sees of volumes, as ``python -m monai_ssl preview`` does."""
    config = BUNDLES / method / "configs" / "pretrain.json"
    with tempfile.TemporaryDirectory() as scratch:
        places = {"dataset_dir": str(store), "output_dir": scratch, "validation": 0.0, "num_workers": 0}
        parser = read_bundle([config], {**places, **SMALLER.get(method, {})})
        batch, _ = make_batch(parser, samples=2)
        batch = {key: value for key, value in batch.items() if key in images_of(batch) or not isinstance(value, list)}
        draw_sheet(batch, out)


def methods() -> list[str]:
    """Return the names of the pre-training bundles."""
    return sorted(path.parts[-3] for path in BUNDLES.glob("*/configs/pretrain.json"))


def make_figures(out: Path) -> None:
    """Write ``out/transforms/<name>.png`` and ``out/methods/<name>.png`` for all."""
    for folder in ("transforms", "methods"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for name in (*TASKS, *DISTURBANCES):
        draw_transform(name, out / "transforms" / f"{name}.png")
    with tempfile.TemporaryDirectory() as folder:
        source, store = Path(folder) / "scans", Path(folder) / "store"
        write_phantom_cohort(source, patients=3, shape=(112, 112, 72))
        prepare(source, store)
        write_visits(Path(folder) / "visits")
        prepare(Path(folder) / "visits", Path(folder) / "contrasts")
        for method in methods():
            needed = Path(folder) / "contrasts" if method == "cross_contrast" else store
            draw_views(method, needed, out / "methods" / f"{method}.png")


def write_visits(root: Path) -> None:
    """Write two contrasts of phantom heads, the second the first turned around, in the names of BIDS."""
    for number in range(3):
        image, _ = phantom_mr(number, (112, 112, 112))
        for name, contrast in (("T1w", image), ("T2w", image.max() - image)):
            path = root / f"sub-{number}" / f"sub-{number}_{name}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(contrast, np.eye(4)), path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder of the pictures")
    make_figures(parser.parse_args().out)
