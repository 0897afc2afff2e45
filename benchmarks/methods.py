"""Step time, peak memory and share of the views of every bundle, by ``python -m monai_ssl benchmark``.

    python benchmarks/methods.py --volumes STORE [--images STORE] [--bundles pcrlv2 moco] [--small] [--out FILE]

Each configuration runs in a process of its own, so that peak memory is its own. ``--small`` takes narrow networks and
small windows, for a machine without a GPU: its figures compare methods with each other, and say nothing of a real run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import sidebyside

ROOT = Path(__file__).parents[1] / "bundles"
COMMON = {"batch_size": 4, "num_workers": 0}
NARROW: dict[str, dict[str, object]] = {
    "pretrain": {"widths": [8, 16, 32, 64], "roi_size": [32, 32, 32]},
    "pretrain_2d": {"width": 8, "roi_size": [64, 64]},
}
CUBES = {
    "pretrain": {"roi_size": [40, 40, 40], "cube_size": [16, 16, 16], "gap": 2, "jitter": 2},
    "pretrain_2d": {"roi_size": [112, 112], "cube_size": [32, 32], "gap": 1, "jitter": 2},
}
IN_CELLS: dict[str, dict[str, dict[str, object]]] = {
    "cpc": {
        "pretrain": {"patch_size": [8, 8, 8], "jitter": 1},
        "pretrain_2d": {"roi_size": [96, 96], "patch_size": [32, 32], "cells": [3, 3]},
    },
    "jigsaw": CUBES,
    "relative_location": {
        "pretrain": {"roi_size": [56, 56, 56], "cube_size": [16, 16, 16], "gap": 1, "jitter": 1},
        "pretrain_2d": CUBES["pretrain_2d"],
    },
    "rubik": CUBES,
    "rubik_plus": CUBES,
}
"""What small windows need of the methods that cut them into cells."""


def measure(bundle: Path, config: str, data: Path, steps: int, small: bool) -> dict:
    """Return the figures of one configuration, or ``{"error": sentence}``."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["--bundle", str(bundle), "--config", config, "--steps", str(steps), "--warmup", "2", "--json"]
        words += ["--dataset_dir", str(data), "--output_dir", folder]
        sizes = COMMON | NARROW[config] | IN_CELLS.get(bundle.name, {}).get(config, {}) if small else {}
        words += [word for key, value in sizes.items() for word in (f"--{key}", json.dumps(value))]
        command = [sys.executable, "-m", "monai_ssl", "benchmark", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return {"error": (done.stderr.strip().splitlines() or ["no word"])[-1]}
        return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--volumes", type=Path, help="store of 3-D scans, for pretrain.json")
    parser.add_argument("--images", type=Path, help="store of 2-D images, for pretrain_2d.json")
    parser.add_argument("--bundles", nargs="+", metavar="NAME", help="default: all")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--small", action="store_true", help="narrow networks, small windows, batches of 4")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    data = {"pretrain": args.volumes, "pretrain_2d": args.images}
    found = [path for path in sorted(ROOT.glob("*/configs/pretrain*.json")) if data.get(path.stem)]
    chosen = [path for path in found if not args.bundles or path.parts[-3] in args.bundles]
    result = {}
    print(f"{'bundle':34s}{'step ms':>10s}{'views ms':>10s}{'views':>8s}{'memory MB':>11s}")
    for path in chosen:
        name = f"{path.parts[-3]} {path.stem}"
        figures = measure(path.parents[1], path.stem, data[path.stem], args.steps, args.small)
        result[name] = figures
        if "error" in figures:
            print(f"{name:34s}{figures['error']}", flush=True)
            continue
        step, views = figures["resident_ms"], figures["views_ms"]
        memory = figures["peak_memory_mb"] or float("nan")
        print(f"{name:34s}{step:10.1f}{views:10.1f}{views / step:8.0%}{memory:11.0f}", flush=True)
    sidebyside.write(args.out, {"small": args.small, "bundles": result})


if __name__ == "__main__":
    main()
