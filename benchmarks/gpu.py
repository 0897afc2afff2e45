"""What a GPU does with this library, in one command of at most nine minutes, written to docs/gpu.json.

    python benchmarks/gpu.py [--store STORE] [--out FILE]
    python benchmarks/gpu.py --device cpu --small --out FILE    # a rehearsal: every line, figures that say nothing

PCRLv2 at batch 32 and MAE with ResEnc-L at 160^3, as by `python -m monai_ssl benchmark`: step with the real loader
against a step on a batch in memory, views, peak memory; in bfloat16, float32, compiled, and with blocks computed again.
Beside them our batched views, MONAI's and torchio's on the same patches. Every part runs in a process of its own and
within a limit: one that fails, or for which no time is left, is recorded with its reason, and the rest go on. The file
is written anew after each part.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import sidebyside

DOCS = Path(__file__).resolve().parents[1] / "docs" / "gpu.json"
SECONDS, LIMIT = 530.0, 120.0
"""Of all parts together, and of one; a rehearsal, which may run on a busy machine, has ten times as much."""
SERVER = multiprocessing.get_context("forkserver")


@dataclass(frozen=True)
class Part:
    """One measurement of a bundle: what differs from its configuration, and what narrows it for a rehearsal."""

    bundle: str
    changes: Mapping[str, Any] = field(default_factory=dict)


PARTS = {
    "pcrlv2, bfloat16": Part("pcrlv2", {"amp": True}),
    "mae, bfloat16": Part("mae", {"amp": True}),
    "pcrlv2, float32": Part("pcrlv2", {"amp": False}),
    "mae, float32": Part("mae", {"amp": False}),
    "mae, bfloat16, recomputed": Part("mae", {"amp": True, "train#trainer#checkpoint_activations": True}),
    "pcrlv2, bfloat16, compiled": Part("pcrlv2", {"amp": True, "train#trainer#compile": True}),
    "mae, bfloat16, compiled": Part("mae", {"amp": True, "train#trainer#compile": True}),
}
"""What matters most comes first: time may run out."""
SIZES: dict[str, dict[str, Any]] = {"pcrlv2": {"batch_size": 32}, "mae": {"roi_size": [160, 160, 160], "batch_size": 2}}
NARROW: dict[str, dict[str, Any]] = {
    "pcrlv2": {"batch_size": 2, "widths": [2, 4, 8, 16], "roi_size": [32, 32, 16]},
    "mae": {"batch_size": 2, "widths": [4, 4, 8, 8, 8, 8], "depths": [1, 1, 1, 1, 1, 1], "roi_size": [64, 64, 64]},
}
RATIOS = {
    "bfloat16 is faster by": ("float32", "bfloat16", "resident_ms"),
    "compiling is faster by": ("bfloat16", "bfloat16, compiled", "resident_ms"),
    "bfloat16 needs less memory by": ("float32", "bfloat16", "peak_memory_mb"),
    "computing again needs less memory by": ("bfloat16", "bfloat16, recomputed", "peak_memory_mb"),
}
"""A figure of the first variant, divided by that of the second."""


def bundle_figures(part: Part, store: str, folder: str, device: str, small: bool) -> dict[str, Any]:
    """Return what `python -m monai_ssl benchmark` finds."""
    from monai_ssl.cli import benchmark

    settings = (NARROW if small else SIZES)[part.bundle] | dict(part.changes)
    settings |= {"device": device, "num_workers": 0 if small else 8}
    places = {"dataset_dir": store, "output_dir": folder}
    words = [word for key, value in (settings | places).items() for word in (f"--{key}", str(value))]
    steps = {"steps": 2, "warmup": 1} if small else {"steps": 20, "warmup": 3}
    asked = argparse.Namespace(bundle=part.bundle, config="pretrain", overrides=words, **steps)
    return {"settings": settings, **benchmark.measured(asked)}


def views_figures(device: str, small: bool) -> dict[str, Any]:
    """Return milliseconds of the clock a patch: ours and MONAI's on the device and on the CPU, torchio's on the CPU."""
    import peers
    import torch
    from torch.utils.benchmark import Timer

    batch = torch.rand(2 if small else 32, 1, *peers.PATCH, generator=torch.Generator().manual_seed(0))
    our, theirs = peers.our_views(), peers.monai_views()
    on = {"cpu": batch, device: batch.to(device)}
    # MONAI makes the grid of an affine map on the CPU unless told otherwise
    theirs.transforms[1].rand_affine_grid.device = torch.device(device)
    candidates = {f"ours, {name}": lambda x=x: our({"image": x}) for name, x in on.items()}
    candidates |= {f"MONAI one by one, {device}": lambda: [theirs(image) for image in on[device]]}
    if find_spec("torchio") is not None:
        other = peers.torchio_views()
        candidates |= {"torchio one by one, cpu": lambda: [other(image) for image in batch]}
    found = {}
    for name, call in candidates.items():
        call()
        timer = Timer("call()", globals={"call": call}, num_threads=torch.get_num_threads())
        found[name] = 1e3 * timer.blocked_autorange(min_run_time=0.1 if small else 5.0).median / len(batch)
    ours = found[f"ours, {device}"]
    return {"patch": peers.PATCH, "ms": found, "ratios": {name: ms / ours for name, ms in found.items()}}


def card(device: str) -> dict[str, Any]:
    """Return what is measured on; in a process of its own, too, so that the parts have the GPU for themselves."""
    import platform

    import torch

    if device == "cpu":
        return {"card": platform.processor() or platform.machine()}
    properties = torch.cuda.get_device_properties(0)
    return {"card": properties.name, "gigabytes": properties.total_memory / 2**30, "cuda": torch.version.cuda}


def phantoms(folder: str, small: bool) -> dict[str, Any]:
    """Prepare a store of generated CT."""
    from monai_ssl.samples.phantom import write_phantom_cohort
    from monai_ssl.store import PrepareOptions, prepare

    count, side = (2, 64) if small else (8, 224)
    write_phantom_cohort(Path(folder, "raw"), count, shape=(side,) * 3)
    prepare(Path(folder, "raw", "ct"), Path(folder, "store"), PrepareOptions(workers=0 if small else 8))
    return {"data": f"{count} generated patients, scans of {side}^3"}


def measured(seconds: float, function: Any, *arguments: Any) -> dict[str, Any]:
    """Return what a function returns in a process of its own, or why it does not, and how long that took."""
    began = time.perf_counter()
    receive, send = SERVER.Pipe(duplex=False)
    process = SERVER.Process(target=_report, args=(send, function, arguments))
    if seconds <= 0:
        return {"error": "no time was left", "seconds": 0.0}
    process.start()
    send.close()
    try:
        found = receive.recv() if receive.poll(seconds) else {"error": f"not done within {seconds:.0f} s"}
    except EOFError:
        process.join()
        found = {"error": f"the process ended with exit code {process.exitcode}"}
    _end(process)
    return {**found, "seconds": time.perf_counter() - began}


def _report(send: Any, function: Any, arguments: tuple[Any, ...]) -> None:
    os.setsid()
    try:
        found = function(*arguments)
    except BaseException as error:  # recorded, and the rest go on
        traceback.print_exc()
        found = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
    send.send(found)


def _end(process: Any) -> None:
    """End a process that has told what it found, or has had its time, and its loader workers."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    # one that has only begun leads no group yet
    process.kill()
    process.join()


def ratios(parts: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Return by how much a variant is faster or smaller than another, where both were measured."""
    found = {}
    for bundle in SIZES:
        for name, (first, second, figure) in RATIOS.items():
            both = [parts.get(f"{bundle}, {variant}", {}).get(figure) for variant in (first, second)]
            if all(both):
                found[f"{bundle}: {name}"] = both[0] / both[1]
    return found


def run_parts(args: argparse.Namespace, folder: str) -> dict[str, Any]:
    """Run all parts, say how each went, and return them; the file is written after each."""
    patience = 10 if args.small else 1
    end = time.monotonic() + patience * SECONDS
    parts: dict[str, Any] = {}
    store = args.store or f"{folder}/store"
    work: dict[str, tuple[Any, ...]] = {"card": (card, args.device)}
    work |= {} if args.store else {"phantoms": (phantoms, folder, args.small)}
    work |= {"views": (views_figures, args.device, args.small)}
    work |= {name: (bundle_figures, part, store, folder, args.device, args.small) for name, part in PARTS.items()}
    for name, call in work.items():
        parts[name] = measured(min(patience * LIMIT, end - time.monotonic()), *call)
        print(f"{name:28s}{parts[name]['seconds']:8.1f} s  {parts[name].get('error') or 'done'}", flush=True)
        if "error" in parts["card"]:
            sys.exit(f"error: `--device {args.device}` cannot be used here.")
        facts = {"card": parts["card"]["card"], "date": time.strftime("%Y-%m-%d"), "small": args.small}
        result = {**facts, **sidebyside.facts(), "parts": parts, "ratios": ratios(parts)}
        args.out.write_text(json.dumps(result, indent=1) + "\n")
    return parts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", help="store of volumes of at least 160^3; default: generated CT")
    parser.add_argument("--device", default="cuda:0", choices=["cuda:0", "cpu"])
    parser.add_argument("--small", action="store_true", help="narrow networks, few steps: a rehearsal")
    parser.add_argument("--out", type=Path, default=DOCS, help="default: docs/gpu.json, for a GPU only")
    args = parser.parse_args()
    if args.out.resolve() == DOCS and (args.device == "cpu" or args.small):
        parser.error("docs/gpu.json holds what a GPU does: name another file by `--out` for a rehearsal.")
    SERVER.set_forkserver_preload(["torch", "monai.transforms", "monai.bundle", "monai_ssl.engines"])
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlruns.db"
        parts = run_parts(args, folder)
    for name, ratio in ratios(parts).items():
        print(f"{name:48s}{ratio:6.2f} x")
    print(f"Written: {args.out}")


if __name__ == "__main__":
    main()
