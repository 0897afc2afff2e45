"""From nothing to two scores side by side: the line that a user walks, each step a command that is printed first.

    make demo        (or: python tutorials/demo.py demo)

Sample scans -> store -> preview -> pre-training of a reduced PCRLv2 -> fine-tuning with and without its weights.
"""

from __future__ import annotations

import json
import os
import shlex
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WIDTHS = (8, 16, 32, 64)
"""An eighth of the papers' network, for two CPU cores."""
# what decides how the views look: windows, and patches that change places, are a quarter of the paper's
VIEWS = {"roi_size": "[32,32,32]", "swap#0#num_swaps": 25}
PRETRAIN = {
    "max_epochs": 20,
    "windows_per_scan": 8,
    "batch_size": 8,
    "widths": str(list(WIDTHS)),
    "lr": 0.01,
    "num_workers": 2,
    "validation": 0,
    **VIEWS,
}
FINETUNE = {
    "labels": "{'lungs': 1}",
    "width": WIDTHS[0],
    "roi_size": "[48,48,32]",
    "spacing": "[3.0,3.0,3.0]",
    "max_epochs": 6,
    "iterations_per_epoch": 30,
    "num_workers": 0,
    "normalize": "zscore",
}


def run(*command: str | Path) -> None:
    """Print a command, run it, stop the demonstration if it fails; its output goes to ``log.txt`` as well."""
    words = [str(word) for word in command]
    print(f"\n$ {shlex.join(words).replace(sys.executable, 'python')}", flush=True)
    start = time.monotonic()
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(words, cwd=ROOT, env=environment, check=False)
    if done.returncode:
        sys.exit(f"\nThe command above ended with status {done.returncode}; the demonstration stops here.")
    print(f"  ({time.monotonic() - start:.0f} s)", flush=True)


def options(overrides: dict[str, object]) -> list[str]:
    """Overrides as words of a command."""
    return [word for key, value in overrides.items() for word in (f"--{key}", str(value))]


def bundle(name: str, run_id: str, config: str, **overrides: object) -> None:
    """The stock command of MONAI on one of our bundles."""
    folder = Path("bundles") / name
    run(
        *(sys.executable, "-m", "monai.bundle", "run", run_id),
        *("--config_file", folder / "configs" / config, "--bundle_root", folder, "--logging_file", "False"),
        *options(overrides),
    )


def best_dice(output_dir: Path) -> float:
    """Read the best validation Dice of a fine-tuning run from its MLflow record."""
    with sqlite3.connect(output_dir / "mlruns.db") as database:
        values = database.execute("SELECT MAX(value) FROM metrics WHERE key LIKE '%val_mean_dice%'").fetchone()
    return float(values[0])


def main() -> None:
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "demo").resolve()
    out.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    source, store, pretrained = out / "samples", out / "store", out / "pretrain"
    run(sys.executable, "-m", "monai_ssl", "prepare", "--samples", "default", source, store, "--exclude", "xray/*")
    run(sys.executable, "-m", "monai_ssl", "inspect", store)
    run(
        *(sys.executable, "-m", "monai_ssl", "preview", "--config_file", "bundles/pcrlv2/configs/pretrain.json"),
        *("--bundle_root", "bundles/pcrlv2", "--dataset_dir", store, "--output_dir", pretrained),
        *("--out", out / "preview.png"),
        *options(VIEWS),
    )
    bundle("pcrlv2", "pretrain", "pretrain.json", dataset_dir=store, output_dir=pretrained, **PRETRAIN)
    scores = {}
    for name, weights in (("from scratch", ""), ("pre-trained", pretrained / "encoder.safetensors")):
        folder = out / f"finetune_{name.replace(' ', '_')}"
        bundle(
            "segmentation",
            "run",
            "train.json",
            dataset_dir=source,
            datalist=source / "datalist.json",
            weights=weights,
            output_dir=folder,
            overwrite=True,
            **FINETUNE,
        )
        scores[name] = best_dice(folder)
    report(out, scores, time.monotonic() - begin)


def report(out: Path, scores: dict[str, float], seconds: float) -> None:
    """Print the two scores and what they can and cannot show."""
    (out / "scores.json").write_text(json.dumps(scores, indent=2))
    print("\nLungs, mean Dice on the one validation patient:")
    for name, score in scores.items():
        print(f"  {name:14s} {score:.3f}")
    print(
        "One patient to train on and one to test on show that every step works and how it is measured. They cannot "
        "show whether pre-training helps: for that take dozens of patients and several seeds.\n"
        f"\nMLflow:    mlflow ui --backend-store-uri sqlite:///{out / 'pretrain' / 'mlruns.db'}\n"
        f"Pictures:  {out / 'store' / 'sheet.png'}, {out / 'preview.png'}, {out / 'pretrain' / 'pictures'}\n"
        f"Weights:   {out / 'pretrain' / 'encoder.safetensors'} and its MODEL_CARD.md\n"
        f"Time:      {seconds / 60:.1f} minutes"
    )


if __name__ == "__main__":
    main()
