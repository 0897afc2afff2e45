"""Throughput benchmark: time of a training step in data loading, augmentation (views), forward and backward."""

from __future__ import annotations

import contextlib
import math
import statistics
import sys
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from ignite.engine import Events

from monai_ssl.arguments import check_interval
from monai_ssl.engines.ssl_trainer import SSLTrainer
from monai_ssl.transforms.views import BatchViews


@dataclass(frozen=True)
class Timing:
    """Medians in milliseconds a batch, all of the same training.

    Args:
        samples: of a batch.
        real_ms: a step with the real loader.
        resident_ms: the same step on a batch that is on the device already, measured before and after the real one.
        loader_ms: the loader alone.
        views_ms: the views alone.
        view_ms: each view alone, by its place and name.
        wait_ms_median: waiting for the loader, in a real step.
        wait_ms_p95: 95th percentile of it.
        wait_share: of waiting in the real steps, in [0, 1].
        peak_memory_mb: of the GPU in the real steps, else of this process so far; ``None`` on Windows without a GPU.
        gpu_utilization: share of the time in which the GPU computed, in [0, 1]; ``None`` where nothing tells.
    """

    samples: int
    real_ms: float
    resident_ms: float
    loader_ms: float
    views_ms: float
    view_ms: dict[str, float]
    wait_ms_median: float
    wait_ms_p95: float
    wait_share: float
    peak_memory_mb: float | None
    gpu_utilization: float | None

    @property
    def speed(self) -> float:
        """Of the real step as a fraction of that with a resident batch; 1 when nothing waits."""
        return self.resident_ms / self.real_ms


def measure(trainer: SSLTrainer, steps: int = 20, warmup: int = 3) -> Timing:
    """Run a trainer that has no handlers for a while, and take its time.

    Args:
        trainer: its method is trained a little by this.
        steps: of each part that are measured.
        warmup: steps before them, in which workers start and kernels are chosen.

    Raises:
        ValueError: for less than two steps, or a negative warm-up.
    """
    check_interval("[2, inf)", steps=steps)
    check_interval("[0, inf)", warmup=warmup)
    loader: Iterable = trainer.data_loader
    trainer.state.max_epochs = max(trainer.state.max_epochs or 1, 1_000_000)
    device = trainer.state.device
    loader_times, batch = _load(loader, steps, warmup)
    resident = _Resident(trainer.to_device(batch))
    view_ms = _time_views(trainer, resident.batch, min(steps, 10))
    before = _train(trainer, resident, steps // 2, warmup)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with _utilization(device) as used:
        real = _train(trainer, loader, steps, warmup)
    memory = _peak_memory_mb(device)
    after = _train(trainer, resident, steps - steps // 2, warmup)
    waits = sorted(wait for wait, _ in real)
    return Timing(
        samples=min(len(x) for x in resident.batch.values()),
        real_ms=statistics.median(whole for _, whole in real),
        resident_ms=statistics.median(whole for _, whole in before + after),
        loader_ms=statistics.median(loader_times),
        views_ms=sum(view_ms.values()),
        view_ms=view_ms,
        wait_ms_median=statistics.median(waits),
        wait_ms_p95=waits[math.ceil(0.95 * len(waits)) - 1],
        wait_share=sum(waits) / sum(whole for _, whole in real),
        peak_memory_mb=memory,
        gpu_utilization=statistics.mean(used) if used else None,
    )


class _Resident:
    """One batch again and again."""

    def __init__(self, batch: Mapping[str, Any]) -> None:
        self.batch = dict(batch)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while True:
            yield self.batch

    def __len__(self) -> int:
        return sys.maxsize


def _load(loader: Iterable, steps: int, warmup: int) -> tuple[list[float], dict[str, Any]]:
    times, batch = [], {}
    batches = _again(loader)
    for _ in range(warmup + steps):
        start = time.perf_counter()
        batch = next(batches)
        times.append(1e3 * (time.perf_counter() - start))
    return times[warmup:], batch


def _again(loader: Iterable) -> Iterator[dict[str, Any]]:
    while True:
        yield from loader


def _train(trainer: SSLTrainer, loader: Any, steps: int, warmup: int) -> list[tuple[float, float]]:
    """Return for each step how long it waited for its batch and how long it took with that, in milliseconds."""
    times: list[tuple[float, float]] = []
    asked = got = 0.0

    def ask() -> None:
        nonlocal asked
        asked = time.perf_counter()

    def get() -> None:
        nonlocal got
        got = time.perf_counter()

    def done() -> None:
        _wait_for(trainer.state.device)
        times.append((1e3 * (got - asked), 1e3 * (time.perf_counter() - asked)))
        if len(times) == warmup + steps:
            trainer.terminate()

    events = {Events.GET_BATCH_STARTED: ask, Events.GET_BATCH_COMPLETED: get, Events.ITERATION_COMPLETED: done}
    handles = [trainer.add_event_handler(event, handler) for event, handler in events.items()]
    own, trainer.data_loader = trainer.data_loader, loader
    try:
        trainer.run()
    finally:
        trainer.data_loader = own
        for handle in handles:
            handle.remove()
    return times[warmup:]


def _time_views(trainer: SSLTrainer, batch: Mapping[Any, Any], repeats: int) -> dict[str, float]:
    """Return the median of each view, given what the ones before it made."""
    if trainer.views is None:
        return {}
    times: dict[str, list[float]] = {}
    with warnings.catch_warnings():
        # that some run sample by sample was said when the bundle was built
        warnings.simplefilter("ignore", UserWarning)
        views = [BatchViews([transform]) for transform in trainer.views.transforms]
    for _ in range(repeats + 1):
        data = dict(batch)
        for place, one in enumerate(views):
            _wait_for(trainer.state.device)
            start = time.perf_counter()
            with torch.no_grad():
                data = one(data)
            _wait_for(trainer.state.device)
            times.setdefault(f"{place} {_name(one.transforms[0])}", []).append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(some[1:]) for name, some in times.items()}


def _name(transform: Any) -> str:
    """Return the class of a transform, and of those that it holds."""
    holder = getattr(transform, "views", transform)
    held = ", ".join(_name(one) for one in getattr(holder, "transforms", ()))
    return f"{type(transform).__name__}({held})" if held else type(transform).__name__


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _peak_memory_mb(device: torch.device) -> float | None:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if sys.platform == "win32":
        return None
    import resource

    # in bytes on macOS, else in KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


@contextlib.contextmanager
def _utilization(device: torch.device) -> Iterator[list[float]]:
    """Yield a list that is filled with the share of the time in which the GPU computes, every 50 ms."""
    used: list[float] = []
    stop = threading.Event()

    def sample() -> None:
        while not stop.wait(0.05):
            try:
                used.append(torch.cuda.utilization(device) / 100)
            except (ModuleNotFoundError, RuntimeError):  # NVML is not everywhere
                return

    thread = threading.Thread(target=sample, daemon=True)
    if device.type == "cuda":
        thread.start()
    try:
        yield used
    finally:
        stop.set()
        if device.type == "cuda":
            thread.join()
