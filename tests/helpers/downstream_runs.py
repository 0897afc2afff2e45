"""Runs of the bundles of the tasks on small data, for their tests and the torture suite."""

from pathlib import Path

import nibabel
import numpy as np
from monai.bundle import ConfigWorkflow
from PIL import Image

from monai_ssl.networks import PyramidUNet
from monai_ssl.samples.phantom import phantom_ct
from monai_ssl.transfer import ModelCard, export_weights, paper_encoder

ROOT = Path(__file__).parents[2] / "bundles"
AFFINE = np.array([[-2.0, 0, 0, 40], [0, -2, 0, 30], [0, 0, 3, -10], [0, 0, 0, 1]])
LABELS = {"lung": 1, "heart": 2}


def write_volumes(root, number=4):
    """Scans with labels; the last one is of the test."""
    for i in range(number):
        split = "Ts" if i == number - 1 else "Tr"
        for name, array in zip(("images", "labels"), phantom_ct(i, (36, 40, 22)), strict=True):
            (root / f"{name}{split}").mkdir(exist_ok=True, parents=True)
            nibabel.save(nibabel.Nifti1Image(array, AFFINE), root / f"{name}{split}" / f"p{i}.nii.gz")
    return root


def write_pictures(root):
    rng = np.random.default_rng(0)
    for i in range(12):
        folder = root / ("negative", "positive")[i % 2]
        folder.mkdir(exist_ok=True, parents=True)
        array = rng.integers(0, 100, (40, 50), dtype=np.uint8)
        array[10:30, 10:30] += 120 * (i % 2)
        Image.fromarray(array).save(folder / f"{i}.png")
    return root


def write_disks(root):
    """Disks of a brightness between 60 and 240 on noise; the number is that brightness, shifted and scaled."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32]
    rows = ["image,brightness,section"]
    for i in range(48):
        array, brightness = rng.integers(0, 30, (32, 32)), rng.integers(60, 241)
        cy, cx = rng.integers(10, 22, 2)
        array[(y - cy) ** 2 + (x - cx) ** 2 < 64] = brightness
        Image.fromarray(array.astype(np.uint8)).save(root / f"{i}.png")
        rows.append(f"{i}.png,{1000 + brightness / 6:.3f},{'test' if i >= 40 else ''}")
    (root / "datalist.csv").write_text("\n".join(rows))
    return root


def weights(folder, width=4, modality="ct"):
    intensity = {"kind": "ct_window", "low": -1000.0, "high": 1000.0}
    network = PyramidUNet(paper_encoder(3, 1, width))
    card = ModelCard("pcrlv2", "paper", {"width": width}, modality, intensity)
    (folder / "pretrained").mkdir()
    return export_weights(network, folder / "pretrained" / f"width{width}.safetensors", card), network


def options(bundle, out, **more):
    shared = {"bundle_root": str(ROOT / bundle), "output_dir": str(out), "width": 4, "device": "cpu"}
    return shared | more


def train_options(bundle, out, **more):
    return options(bundle, out, **{"ckpt_dir": str(out / "models"), "num_workers": 0, "max_epochs": 1} | more)


def workflow(bundle, config="train", kind="train", **overrides):
    configs = ROOT / bundle / "configs"
    files = [str(configs / f"{name}.json") for name in ([config] if isinstance(config, str) else config)]
    flow = ConfigWorkflow(files, str(configs / "metadata.json"), logging_file=False, workflow_type=kind, **overrides)
    flow.initialize()
    return flow


def segmentation(out, volumes, **more):
    task = {"dataset_dir": str(volumes), "labels": LABELS, "roi_size": [16, 16, 16]}
    return train_options("segmentation", out, **(task | more))
