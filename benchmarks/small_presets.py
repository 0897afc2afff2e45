"""What the presets for a CPU (`configs/cpu.json`) teach on head-neck CT: loss, and a probe of single voxels.

    python benchmarks/headneck_organs.py ../shared/data/headneck_ct studies/data/headneck_organs
    python benchmarks/small_presets.py studies/data/headneck_organs WORK [--bundles mae spark]

Each bundle is pre-trained by its stock command, one seed, on the patients that are not tested. Then a linear layer and
the nearest neighbors say from frozen features which of four organs, or none, a voxel is: 3 labeled patients, 8 test
patients, mean recall. The same is asked of the same network untrained, with the same normalization of images, as
several seeds draw it. Scans are cropped to the organs for that. What is in WORK is not computed twice.
`python docs/small_presets.py` makes the page.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from monai.transforms import Compose, CropForegroundd
from torch import Tensor, nn

from monai_ssl.evaluation.voxel_probe import draw_points, voxel_features, voxel_recalls
from monai_ssl.files import read_json, write_json
from monai_ssl.networks import build
from monai_ssl.tasks import Segmentation
from monai_ssl.tasks.networks import normalize_inputs
from monai_ssl.transfer import load_weights, read_card

ORGANS = {"Brainstem": 1, "SpinalCord": 2, "RightParotid": 3, "LeftParotid": 4}
MODERN = (
    *("mae", "mae_vit", "simmim", "spark", "voco", "aligned", "smit", "dinov2", "swin_unetr_ssl", "vicreg", "vicregl"),
    *("volume_fusion", "intra_scan", "gvsl"),
)
LABELED, DRAWS, UNTRAINED, TESTED, POINTS = 3, 2, 3, 8, 200
"""Patients of a draw, draws, untrained networks, test patients, voxels of each class and patient."""
ROI, MARGIN = (48, 48, 48), 12

Case = tuple[Tensor, Tensor]


def prepare(data: Path, work: Path) -> Path:
    """Return a store of all scans but those of test patients."""
    store = work / "store"
    if not (store / "manifest.json").is_file():
        unseen = [w for case in listed(data)["test"] for w in ("--exclude", f"{Path(case['image']).name}")]
        command = [sys.executable, "-m", "monai_ssl", "prepare", data / "imagesTr", store, "--modality", "ct", *unseen]
        subprocess.run([str(word) for word in command], check=True)
    return store


def listed(data: Path) -> dict[str, list[dict[str, str]]]:
    return json.loads((data / "datalist.json").read_text())


def pretrain(bundle: str, store: Path, out: Path) -> float:
    """Run the stock command with the preset for a CPU if it has not run; return its minutes."""
    if (told := read_json(out / "minutes.json")) is not None:
        return float(told)
    root, begin = f"bundles/{bundle}", time.monotonic()
    files = [f"{root}/configs/pretrain.json", f"{root}/configs/cpu.json"]
    command = [sys.executable, "-m", "monai.bundle", "run", "pretrain", "--config_file", str(files)]
    command += ["--bundle_root", root, "--dataset_dir", str(store), "--output_dir", str(out)]
    out.mkdir(parents=True, exist_ok=True)
    with (out / "log.txt").open("a") as log:
        record = {"MLFLOW_TRACKING_URI": f"sqlite:///{out.resolve() / 'mlruns.db'}"}
        words = [*command, "--seed", "0", "--resume", str((out / "checkpoint.pt").exists())]
        subprocess.run(words, check=True, stdout=log, stderr=log, env={**os.environ, **record})
    minutes = (time.monotonic() - begin) / 60
    write_json(out / "minutes.json", minutes)
    return minutes


def curves(record: Path) -> dict[str, list[float]]:
    """Return what was measured on validation patients, by epoch."""
    query = "SELECT key, value FROM metrics WHERE key LIKE 'validation/%' ORDER BY key, step, timestamp"
    found: dict[str, list[float]] = {}
    with sqlite3.connect(record) as database:
        for key, value in database.execute(query):
            found.setdefault(key.removeprefix("validation/"), []).append(round(value, 4))
    return found


def load(data: Path, cases: Sequence[dict[str, str]]) -> list[Case]:
    """Return images and labels, cropped to the organs and what lies around them."""
    around = CropForegroundd(["image", "label"], "label", margin=MARGIN)
    loading = Compose([*Segmentation(ORGANS).loading("ct"), around])
    loaded = [loading({key: str(data / case[key]) for key in ("image", "label")}) for case in cases]
    return [(case["image"].as_tensor(), case["label"].as_tensor()[0].long()) for case in loaded]


def probe(weights: Path, labeled: Sequence[Case], test: Sequence[Case]) -> dict[str, dict[str, list[list[float]]]]:
    """Return mean recalls, linear and by neighbors, of untrained networks and the pre-trained one: a list a network."""
    card = read_card(weights)
    assert card is not None
    found: dict[str, dict[str, list[list[float]]]] = {kind: {"linear": [], "knn": []} for kind in ("before", "after")}
    for number in range(UNTRAINED + 1):
        torch.manual_seed(number)
        encoder = build(card.encoder)
        kind = "before" if number < UNTRAINED else "after"
        if kind == "after":
            load_weights(encoder, weights)
        normalize_inputs(encoder, card.normalize)
        known, asked = (voxels(encoder.eval(), cases) for cases in (labeled, test))
        draws = [known[draw * LABELED : (draw + 1) * LABELED] for draw in range(DRAWS)]
        scores = [voxel_recalls(together(draw), together(asked)) for draw in draws]
        for measure, lists in found[kind].items():
            lists.append([round(score[f"{measure}/macro"], 4) for score in scores])
    return found


def together(parts: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return the vectors and classes of several cases as one."""
    return torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])


def voxels(encoder: nn.Module, cases: Sequence[Case]) -> list[tuple[Tensor, Tensor]]:
    """Return vectors (N, D) and classes (N,) of voxels of each case, the same voxels whatever the encoder."""
    found = []
    for number, (image, label) in enumerate(cases):
        points = draw_points(label, POINTS, np.random.default_rng(number))
        found.append((voxel_features(encoder, image, points, ROI), label[tuple(points.T)]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder that benchmarks/headneck_organs.py made")
    parser.add_argument("work", type=Path, help="folder for runs; continued if it exists")
    parser.add_argument("--bundles", nargs="+", default=MODERN, metavar="NAME")
    parser.add_argument("--out", type=Path, default=Path("docs/small_presets.json"))
    args = parser.parse_args()
    store, sections = prepare(args.data, args.work), listed(args.data)
    test, labeled = load(args.data, sections["test"][:TESTED]), load(args.data, sections["training"][: LABELED * DRAWS])
    for bundle in args.bundles:
        out, result = args.work / bundle, args.work / f"{bundle}.json"
        if result.is_file():
            continue
        minutes = pretrain(bundle, store, out)
        told = {"minutes": round(minutes, 1), "validation": curves(out / "mlruns.db")}
        told |= probe(out / "encoder.safetensors", labeled, test)
        write_json(result, told)
        print(bundle, {kind: told[kind] for kind in ("before", "after")}, flush=True)
    results = {path.stem: json.loads(path.read_text()) for path in sorted(args.work.glob("*.json"))}
    write_json(args.out, results)


if __name__ == "__main__":
    main()
