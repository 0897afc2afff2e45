"""Does pre-training help on head-neck CT? The same network from scratch and pre-trained, at several label counts.

    python benchmarks/does_it_help.py --data ../shared/data/headneck_ct --work /somewhere --weights E.safetensors

Four core organs, a fixed split by patient with 24 test patients that pre-training never saw, the same network,
schedule and augmentation for every arm. The recipe was chosen with ``--validation``, on 12 labeled patients that are
not test patients: 1000 steps leave whole organs at 0 for some seeds, 2000 do not. Every cell (weights, number of
labeled patients, seed) is one JSON file in the work folder and is not computed twice. ``--report`` prints means,
spreads and tests of what is there.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from monai.data import CacheDataset, DataLoader
from monai.engines import SupervisedTrainer
from monai.inferers import SlidingWindowInferer
from monai.losses import DiceCELoss
from monai.metrics import DiceMetric
from monai.networks.utils import one_hot
from monai.transforms import (
    Compose,
    CropForegroundd,
    EnsureChannelFirstd,
    EnsureTyped,
    LoadImaged,
    MapLabelValued,
    Orientationd,
    RandAffined,
    RandCropByLabelClassesd,
    RandScaleIntensityd,
    RandShiftIntensityd,
    ScaleIntensityRanged,
    SpatialPadd,
)
from monai.utils import set_determinism

from monai_ssl.evaluation import compare_runs_and_cases, voxel_probe
from monai_ssl.networks import ConvEncoder, SkipUNet
from monai_ssl.transfer import load_weights
from monai_ssl.transforms import ZScored

CORE = ("Brainstem", "SpinalCord", "RightParotid", "LeftParotid")
ROI = (48, 48, 32)


def split(data: Path, seed: int = 0, validation: bool = False) -> dict[str, list[str]]:
    """24 test patients with all core organs drawn; the rest, labeled or not, may be pre-trained on.

    For ``validation`` the last 12 labeled patients stand in the place of the test patients.
    """
    index = json.loads((data / "index.json").read_text())
    patients = sorted(index["patients"])
    complete = [p for p in patients if set(CORE) <= set(index["patients"][p]["contoured"])]
    shuffled = [complete[i] for i in np.random.default_rng(seed).permutation(len(complete))]
    test, labeled = sorted(shuffled[:24]), shuffled[24:]
    if validation:
        test, labeled = labeled[-12:], labeled[:-12]
    return {"test": test, "labeled": labeled, "pretraining": [p for p in patients if p not in test]}


def files(data: Path, patients: list[str]) -> list[dict[str, str]]:
    return [{"image": str(data / f"{p}_ct.nii.gz"), "label": str(data / f"{p}_oar.nii.gz")} for p in patients]


def loading() -> list:
    keys = ["image", "label"]
    return [
        LoadImaged(keys),
        EnsureChannelFirstd(keys),
        Orientationd(keys, axcodes="RAS", labels=None),
        ScaleIntensityRanged("image", -1000, 1000, 0.0, 1.0, clip=True),
        MapLabelValued("label", [5, 6, 7], [0, 0, 0]),
        CropForegroundd(keys, "image", select_fn=lambda x: x > 0.425, allow_smaller=False),
        SpatialPadd(keys, ROI),
        EnsureTyped(keys, dtype=[torch.float32, torch.uint8]),
    ]


def augmentation() -> list:
    keys = ["image", "label"]
    return [
        RandCropByLabelClassesd(
            keys, "label", spatial_size=ROI, num_classes=5, ratios=[1, 2, 3, 2, 2], num_samples=2, warn=False
        ),
        RandAffined(
            keys,
            prob=0.5,
            rotate_range=0.17,
            scale_range=0.1,
            mode=["bilinear", "nearest"],
            padding_mode="zeros",
        ),
        RandScaleIntensityd("image", 0.1, prob=0.5),
        RandShiftIntensityd("image", 0.05, prob=0.5),
    ]


class Cohort:
    """All labeled and test scans in memory, loaded once for all cells."""

    def __init__(self, data: Path, validation: bool = False) -> None:
        parts = split(data, validation=validation)
        self.parts = parts
        deterministic = Compose(loading())
        self.scans = {
            p: deterministic(f)
            for p, f in zip(
                parts["labeled"] + parts["test"], files(data, parts["labeled"] + parts["test"]), strict=True
            )
        }


def network(widths: tuple[int, ...], weights: str) -> SkipUNet:
    net = SkipUNet(ConvEncoder(3, 1, widths), 5)
    if weights:
        load_weights(net, weights, part="encoder")
    return net


def finetune(
    cohort: Cohort, widths: tuple[int, ...], weights: str, labels: int, seed: int, steps: int, lr: float, batch: int
) -> dict:
    set_determinism(seed)
    net = network(widths, weights).to(memory_format=torch.channels_last_3d)
    patients = cohort.parts["labeled"][:labels]
    dataset = CacheDataset(
        [cohort.scans[p] for p in patients] * max(1, -(-steps * batch // (2 * labels))),
        Compose(augmentation()),
        cache_rate=0.0,
        progress=False,
    )
    loader = DataLoader(dataset, batch_size=max(1, batch // 2), shuffle=True, num_workers=0, drop_last=True)
    optimizer = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=1e-4)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps + 1, pct_start=0.1)
    # without weights the spinal cord, two voxels wide, is never found in so few steps
    weight = torch.tensor([1.0, 2.0, 4.0, 2.0, 2.0])
    loss = DiceCELoss(to_onehot_y=True, softmax=True, include_background=False, batch=True, weight=weight)
    trainer = SupervisedTrainer(
        torch.device("cpu"),
        1,
        loader,
        net,
        optimizer,
        lambda prediction, label: loss(prediction.float(), label),
        epoch_length=steps,
        iteration_update=lambda engine, b: _step(engine, b, scheduler),
        decollate=False,
    )
    start = time.time()
    trainer.run()
    trained = time.time() - start
    scores = evaluate(net, [cohort.scans[p] for p in cohort.parts["test"]])
    return {
        "dice": scores,
        "mean": float(np.nanmean(scores)),
        "per_organ": np.nanmean(scores, axis=0).tolist(),
        "train_seconds": trained,
        "test_seconds": time.time() - start - trained,
    }


def _step(engine: SupervisedTrainer, batch: dict, scheduler: torch.optim.lr_scheduler.LRScheduler) -> dict:
    image = batch["image"].as_tensor().contiguous(memory_format=torch.channels_last_3d)
    engine.network.train()
    engine.optimizer.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16):
        prediction = engine.network(image)
    loss = engine.loss_function(prediction, batch["label"].as_tensor())
    loss.backward()
    # a large first step can silence an organ for good
    torch.nn.utils.clip_grad_norm_(engine.network.parameters(), 1.0)
    engine.optimizer.step()
    scheduler.step()
    return {"loss": loss.item()}


@torch.no_grad()
def evaluate(net: torch.nn.Module, scans: list[dict]) -> list[list[float]]:
    net.eval()
    inferer = SlidingWindowInferer((64, 64, 64), sw_batch_size=2, overlap=0.25, mode="gaussian")
    metric = DiceMetric(include_background=False, reduction="none")
    for scan in scans:
        with torch.autocast("cpu", torch.bfloat16):
            prediction = inferer(scan["image"].as_tensor()[None], net)
        label = scan["label"].as_tensor()[None].float()
        metric(one_hot(prediction.float().argmax(1, keepdim=True), 5), one_hot(label, 5))
    return metric.aggregate().tolist()


def probe(cohort: Cohort, widths: tuple[int, ...], weights: str, seed: int) -> dict[str, float]:
    """Linear and nearest-neighbor accuracy of organs at voxels, from frozen features, 20 patients to train on."""
    set_determinism(seed)
    encoder = network(widths, weights).encoder.eval()
    zscore = ZScored("image").normalize

    def labeled(patients: list[str]) -> list[tuple[torch.Tensor, torch.Tensor]]:
        scans = [cohort.scans[p] for p in patients]
        return [(zscore(s["image"].as_tensor()[None])[0], s["label"].as_tensor()[0].long()) for s in scans]

    train, test = labeled(cohort.parts["labeled"][:20]), labeled(cohort.parts["test"])
    return voxel_probe(encoder, train, test, points_per_class=100, roi_size=(48, 64, 64), seed=seed)


def report(work: Path) -> None:
    """Mean and spread over seeds, and what runs and test patients together say of the difference."""
    cells: dict[tuple[int, str], dict[str, np.ndarray]] = {}
    for file in sorted(work.glob("*.json")):
        name, labels, seed, _ = file.stem.rsplit("_", 3)
        cells.setdefault((int(labels), name), {})[seed] = np.array(json.loads(file.read_text())["dice"])
    for labels, name in sorted(cells):
        scores = [float(np.nanmean(dice)) for dice in cells[labels, name].values()]
        line = f"{labels:4d} labels  {name:10s} {np.mean(scores):.3f} +- {np.std(scores):.3f} over {len(scores)} seeds"
        shared = sorted(cells[labels, name].keys() & cells.get((labels, "scratch"), {}).keys())
        if name != "scratch" and len(shared) > 1:
            runs = ([by_patient(cells[labels, arm][seed]) for seed in shared] for arm in (name, "scratch"))
            found = compare_runs_and_cases(*runs)
            line += f", against scratch {found.difference:+.3f} ({found.low:+.3f} to {found.high:+.3f})"
            line += f", p = {found.p_value:.2g}"
        print(line)


def by_patient(dice: np.ndarray) -> dict[str, float]:
    return {str(patient): float(score) for patient, score in enumerate(np.nanmean(dice, axis=1))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--weights", nargs="*", default=[], help="NAME=FILE; scratch is always an arm")
    parser.add_argument("--labels", nargs="*", type=int, default=[20, 5, 1000])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--widths", nargs="*", type=int, default=[8, 16, 32, 64])
    parser.add_argument("--validation", action="store_true", help="to choose a recipe: leave the test patients alone")
    parser.add_argument("--probe", action="store_true", help="frozen features instead of fine-tuning")
    parser.add_argument("--report", action="store_true", help="only print what the work folder holds")
    args = parser.parse_args()
    if args.report:
        report(args.work)
        return
    args.work.mkdir(parents=True, exist_ok=True)
    cohort = Cohort(args.data, args.validation)
    arms = {"scratch": "", **dict(w.split("=", 1) for w in args.weights)}
    if args.probe:
        for name, weights in arms.items():
            for seed in args.seeds if name == "scratch" else args.seeds[:1]:
                print(name, seed, probe(cohort, tuple(args.widths), weights, seed), flush=True)
        return
    for seed in args.seeds:
        for labels in args.labels:
            labels = min(labels, len(cohort.parts["labeled"]))
            for name, weights in arms.items():
                cell = args.work / f"{name}_{labels}_{seed}_{args.steps}.json"
                if cell.exists():
                    continue
                result = finetune(cohort, tuple(args.widths), weights, labels, seed, args.steps, args.lr, args.batch)
                cell.write_text(json.dumps(result))
                print(
                    f"{name:12s} labels {labels:3d} seed {seed}: mean Dice {result['mean']:.3f} "
                    f"{[round(v, 3) for v in result['per_organ']]} in {result['train_seconds']:.0f} s",
                    flush=True,
                )


if __name__ == "__main__":
    main()
