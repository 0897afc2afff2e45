"""``python -m monai_ssl benchmark``: how fast a bundle trains here, what it waits for, and what to change."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monai_ssl.engines.benchmark import Timing


def add_parser(subparsers: Any) -> None:
    """Add the command to ``python -m monai_ssl``."""
    parser = subparsers.add_parser(
        "benchmark",
        help="measure what a training waits for, and say what to change",
        description="Train a pre-training bundle for a few steps: with its loader, and on a batch in memory.",
        epilog="Anything else overrides the bundle as MONAI does: --dataset_dir D --num_workers 8 --batch_size 16",
        allow_abbrev=False,
    )
    parser.add_argument("--bundle", required=True, help="its name, as pcrlv2, or its folder")
    parser.add_argument("--config", metavar="NAME", help="pretrain, pretrain_2d (default for pictures), cpu, ...")
    parser.add_argument("--steps", type=int, default=20, metavar="N", help="measured steps of each part, default 20")
    parser.add_argument("--warmup", type=int, default=3, metavar="N", help="steps before them, default 3")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.set_defaults(takes_overrides=True)


def run(args: argparse.Namespace) -> int:
    """Print a table and a verdict, and record them in MLflow; with ``--json`` the figures alone are the output."""
    with redirect_stdout(sys.stderr if args.json else sys.stdout):
        result = measured(args)
    if args.json:
        print(json.dumps(result, indent=1))
    return 0


def measured(args: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of a bundle; print them with a verdict, and record them in MLflow."""
    from monai_ssl.bundle_folders import bundle_folder
    from monai_ssl.cli.preview import build, config_files, parse_overrides, read_bundle
    from monai_ssl.engines.benchmark import measure
    from monai_ssl.engines.benchmark_verdict import verdict
    from monai_ssl.machine import cores

    bundle = bundle_folder(args.bundle)
    overrides = parse_overrides(args.overrides)
    configs = config_files(args.bundle, args.config, overrides.get("dataset_dir"))
    parser = read_bundle(configs, overrides)
    for name in ("train#trainer", "train#handlers"):
        if parser.get(name) is None:
            raise ValueError(f"{args.bundle} has no `{name}` in {configs[0].name}: is it a bundle for pre-training?")
    build(parser, "initialize")
    # what handlers write and compute is no part of a step
    parser["train#handlers"] = []
    trainer = build(parser, "train#trainer")
    workers = int(getattr(trainer.data_loader, "num_workers", 0))
    timing = measure(trainer, args.steps, args.warmup)
    said = verdict(timing, workers, cores(), trainer.state.device)
    result = _facts(trainer, workers, cores()) | figures(timing) | {"verdict": said}
    print("\n".join([*table(timing), "", *said]))
    print(_record(f"benchmark-{bundle.name}", Path(build(parser, "output_dir")), result))
    return result


def figures(timing: Timing) -> dict[str, Any]:
    """Return the timing as plain numbers by name."""
    from dataclasses import asdict

    return asdict(timing) | {"speed": timing.speed}


def table(timing: Timing) -> list[str]:
    """Return the lines of a table in milliseconds a batch and samples a second."""
    rows = {
        "step, real loader": timing.real_ms,
        "step, batch in memory": timing.resident_ms,
        "loader alone": timing.loader_ms,
        "views alone": timing.views_ms,
        **{f"  {name}": ms for name, ms in timing.view_ms.items()},
    }
    title = f"a batch of {timing.samples}"
    width = max(32, *(len(name) + 2 for name in rows))
    lines = [f"{title:{width}s}{'ms':>10s}{'samples/s':>12s}"]
    lines += [f"{name:{width}s}{ms:10.1f}{1e3 * timing.samples / max(ms, 1e-6):12.1f}" for name, ms in rows.items()]
    lines.append(
        f"waiting for data: median {timing.wait_ms_median:.1f} ms, 95 % below {timing.wait_ms_p95:.1f} ms, "
        f"{timing.wait_share:.1%} of the time"
    )
    used = "" if timing.gpu_utilization is None else f", GPU utilization {timing.gpu_utilization:.0%}"
    memory = "unknown" if timing.peak_memory_mb is None else f"{timing.peak_memory_mb:.0f} MB"
    return [*lines, f"peak memory {memory}{used}"]


def _facts(trainer: Any, workers: int, cores: int) -> dict[str, Any]:
    import torch

    device = trainer.state.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "device": f"{device.type}: {name}",
        "cores": cores,
        "load": load,
        "threads": torch.get_num_threads(),
        "num_workers": workers,
        "amp": bool(trainer.amp),
        "method": type(trainer.method).__name__,
        "torch": torch.__version__,
    }


def _record(name: str, output_dir: Path, result: Mapping[str, Any]) -> str:
    """Record a run in MLflow and return a sentence; a server that is away costs the record, not the figures."""
    from mlflow.exceptions import MlflowException

    from monai_ssl.errors import printable
    from monai_ssl.handlers.mlflow_run import (
        MLflowRun,
        environment_tags,
        now_milliseconds,
        prepare_mlflow,
        unique_run_name,
    )
    from monai_ssl.mlflow_place import checked_uri, record_uri

    uri = checked_uri(record_uri(output_dir))
    numbers = {k: float(v) for k, v in result.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}
    run_name = unique_run_name(name, {})
    where = printable(uri)
    try:
        prepare_mlflow()
        run = MLflowRun(uri, "monai_ssl", run_name)
        run.log_tags(environment_tags())
        run.log_params({k: v for k, v in result.items() if isinstance(v, (str, bool))})
        run.log_metrics({f"benchmark/{k}": v for k, v in numbers.items()}, 0, now_milliseconds())
        run.client.log_dict(run.id, dict(result), "benchmark.json")
        run.finish("FINISHED")
    except (MlflowException, OSError) as error:
        return f"Not recorded in MLflow at {where}: {printable(str(error)).splitlines()[0]}"
    return f"Recorded in MLflow at {where} as {run_name}"
