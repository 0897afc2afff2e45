"""Steps that are counted and run: how far off the memory of ``resources.py`` is, on the CPU of this machine."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch

from monai_ssl.cli.plan import first_step
from monai_ssl.engines import SSLTrainer
from monai_ssl.engines.memory import LiveBytes, step_memory
from monai_ssl.files import read_json

BUNDLES = Path(__file__).resolve().parents[1] / "bundles"
CHECKED: dict[str, dict[str, Any]] = {
    "simclr": read_json(BUNDLES / "simclr/configs/cpu.json"),
    "mae_vit": read_json(BUNDLES / "mae_vit/configs/cpu.json"),
    "cube_plus_plus": {"roi_size": [32, 32, 32], "batch_size": 4, "widths": [8, 16, 32, 64]},
}
"""A convolutional network, a transformer and an adversary, with what makes them small."""
ITERATIONS = 3


def checked(stores: dict[str, str]) -> dict[str, dict[str, int]]:
    """Return the bytes of a step by bundle: counted, of its tensors as it runs, and as the profiler sees it."""
    config = "configs/pretrain.json"
    return {name: compared(BUNDLES / name / config, stores["volumes"], small) for name, small in CHECKED.items()}


def compared(config: Path, store: str, small: dict[str, Any]) -> dict[str, int]:
    """Return the bytes of a step of one configuration."""
    found = {}
    for how in ("counted", "tensors", "allocated"):
        with tempfile.TemporaryDirectory() as out:
            places = {"bundle_root": str(config.parents[1]), "dataset_dir": store, "output_dir": out}
            settings = places | small | {"num_workers": 0, "validation": 0.0, "device": "cpu", "max_epochs": 1}
            trainer, windows = first_step(config, settings)
        if how == "counted":
            found[how] = step_memory(trainer, windows, amp=False)
            continue
        held = sum(x.nbytes for x in (*trainer.method.parameters(), *trainer.method.buffers()))
        trainer.data_loader, trainer.state.epoch_length = [dict(windows) for _ in range(ITERATIONS)], ITERATIONS
        peak = (_live if how == "tensors" else _profiled)(trainer)
        found[how] = held + sum(x.nbytes for x in windows.values() if isinstance(x, torch.Tensor)) + peak
    return found


def _live(trainer: SSLTrainer) -> int:
    with LiveBytes() as live:
        trainer.run()
    return live.peak


def _profiled(trainer: SSLTrainer) -> int:
    with torch.profiler.profile(profile_memory=True, activities=[torch.profiler.ProfilerActivity.CPU]) as profiled:
        trainer.run()
    now = peak = 0
    assert profiled.profiler is not None and profiled.profiler.kineto_results is not None
    for event in profiled.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            peak = max(peak, now)
    return peak


__all__ = ["CHECKED", "checked"]
