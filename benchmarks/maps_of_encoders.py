"""Which maps of a pre-trained encoder tell organs, and with which normalization of images: where a method loses.

    python -m monai_ssl study studies/evidence_3d_methods.json
    python benchmarks/maps_of_encoders.py studies/evidence_3d_methods.json --methods pcrlv2 moco [--out maps.json]

A linear layer says from frozen features which of four organs, or none, a voxel is: 3 labeled patients, mean recall, as
in the study, but asked of patients that the study trains on, so that its test patients stay unseen by whoever mends a
method. All maps of an encoder together, and each alone; windows as they are, each z-scored, and that with batch norm
statistics of these images, since those of pre-training may be a blend of large and small crops.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sidebyside
import torch
from monai.transforms import RandSpatialCropSamples, SpatialPad
from ship_encoders import trained
from small_presets import LABELED, ROI, Case, load, together, voxels
from torch import Tensor

from monai_ssl.evaluation.bn_statistics import recollect_bn
from monai_ssl.evaluation.voxel_probe import voxel_recalls
from monai_ssl.networks import Encoder, build
from monai_ssl.study.cohorts import read_cohort
from monai_ssl.study.folder import StudyFolder
from monai_ssl.study.plan import read_study
from monai_ssl.tasks.networks import normalize_inputs
from monai_ssl.transfer import load_weights, read_card

DRAWS, ASKED = 5, 10
"""Draws of labeled patients, and patients that are asked."""
WINDOWS = 8
"""Of each labeled image, by which batch norm statistics are computed anew."""
TREATMENTS = {"as it is": (None, False), "z-scored": ("zscore", False), "z-scored, own statistics": ("zscore", True)}
Voxels = list[tuple[Tensor, Tensor]]


def treated(weights: Path, loaded: bool, treatment: str, images: Sequence[Case]) -> Encoder:
    """Return an encoder, trained or as it was drawn, with what is done to its images and its statistics."""
    normalize, own = TREATMENTS[treatment]
    card = read_card(weights)
    assert card is not None
    torch.manual_seed(0)
    encoder = build(card.encoder)
    if loaded:
        load_weights(encoder, weights)
    normalize_inputs(encoder, normalize)
    if own:
        cut = RandSpatialCropSamples(ROI, WINDOWS, random_size=False).set_random_state(0)
        padded = SpatialPad(ROI)
        recollect_bn(encoder, ({"image": torch.stack(cut(padded(image)))} for image, _ in images))
    return encoder.eval()


def recalls(known: Voxels, asked: Voxels, channels: Sequence[int]) -> dict[str, list[float]]:
    """Return the mean recall of each draw by what is looked at: all maps, or one of them."""
    parts = {"all": slice(None)}
    begin = 0
    for number, width in enumerate(channels):
        parts[f"map {number}"] = slice(begin, begin + width)
        begin += width
    found: dict[str, list[float]] = {}
    test, truth = together(asked)
    for name, part in parts.items():
        for draw in range(DRAWS):
            train, labels = together(known[draw * LABELED : (draw + 1) * LABELED])
            score = voxel_recalls((train[:, part], labels), (test[:, part], truth))["linear/macro"]
            found.setdefault(name, []).append(round(score, 4))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--methods", nargs="+", required=True)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    study = read_study(args.study)
    (task,) = study.tasks
    cases = read_cohort(task, Path(task.dataset_dir)).training
    labeled = load(Path(task.dataset_dir), cases[: DRAWS * LABELED])
    asked = load(Path(task.dataset_dir), cases[DRAWS * LABELED :][:ASKED])
    results: dict[str, dict[str, dict[str, list[float]]]] = {}
    folder = StudyFolder(study.output_dir)
    files = {method: trained(folder, method, seed=None) for method in args.methods}
    for name, weights in {"untrained": next(iter(files.values())), **files}.items():
        for treatment in TREATMENTS:
            encoder = treated(weights, name != "untrained", treatment, labeled)
            found = recalls(voxels(encoder, labeled), voxels(encoder, asked), encoder.channels)
            results.setdefault(name, {})[treatment] = found
            row = "  ".join(f"{part} {statistics.fmean(scores):.3f}" for part, scores in found.items())
            print(f"{name:<14} {treatment:<25} {row}", flush=True)
    sidebyside.write(args.out, {"study": study.name, "recall": results})


if __name__ == "__main__":
    main()
