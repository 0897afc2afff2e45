"""Bottleneck of a benchmarked training run (data loading, augmentation, GPU) in words, and which option to change."""

from __future__ import annotations

import math

import torch

from monai_ssl.engines.benchmark import Timing

_GOOD = 0.95
_MANY_VIEWS = 0.3
_IDLE_GPU = 0.8


def verdict(timing: Timing, num_workers: int, cores: int, device: torch.device | str) -> list[str]:
    """Say in sentences whether anything waits, and what to change."""
    speed = f"Training runs at {min(timing.speed, 1):.0%} of the speed that a batch in memory allows"
    said = [f"{speed}: nothing to gain in loading." if timing.speed >= _GOOD else f"{speed}."]
    if timing.speed < _GOOD:
        said.append(_about_loading(timing, num_workers, cores, torch.device(device)))
    share = timing.views_ms / timing.resident_ms
    if share > _MANY_VIEWS:
        name, slowest = max(timing.view_ms.items(), key=lambda item: item[1])
        said.append(
            f"The views take {share:.0%} of a step, {name} alone {slowest:.0f} ms: lower its `prob` or its number of "
            "repetitions, or leave it out, if the result allows."
        )
    if timing.gpu_utilization is not None and timing.gpu_utilization < _IDLE_GPU <= timing.speed:
        said.append(
            f"The GPU computes {timing.gpu_utilization:.0%} of the time: a larger `batch_size` fills it better."
        )
    return said


def _about_loading(timing: Timing, num_workers: int, cores: int, device: torch.device) -> str:
    if timing.loader_ms <= timing.resident_ms and num_workers:
        advice = "lower `num_workers`" if num_workers > 1 else "give the training more cores"
        return f"The loader alone is fast enough, but it competes with the training for cores: {advice}."
    rate = f"The loader gives a batch every {timing.loader_ms:.0f} ms, a step takes {timing.resident_ms:.0f} ms: "
    wanted = max(1, math.ceil(max(num_workers, 1) * timing.loader_ms / timing.resident_ms) + 1)
    if num_workers < cores and (device.type != "cpu" or num_workers == 0):
        return f"{rate}set `--num_workers {min(wanted, cores)}`."
    return (
        f"{rate}with {cores} cores more workers hardly help. Prepare the store at the spacing of the training, on a "
        "local disk, and move what the crops do besides cutting to `views`."
    )
