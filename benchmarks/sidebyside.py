"""What the benchmarks share: candidates take turns, so that whatever else runs on the machine hits all alike."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch


def milliseconds(
    candidates: Mapping[str, Callable[[], Any]],
    repeats: int,
    samples: int = 1,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, float]:
    """Return the median time in milliseconds a sample, after one call that is not counted.

    By default the time of this process, not that of the wall: with one thread, what other processes do hardly counts.

    Args:
        candidates: what to call, by name; each treats ``samples`` samples.
        repeats: rounds in which each is called once.
        samples: of a call.
        clock: seconds; ``time.perf_counter`` for what other processes are to take part in.
    """
    for call in candidates.values():
        call()
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(repeats):
        for name, call in candidates.items():
            start = clock()
            call()
            times[name].append(1e3 * (clock() - start) / samples)
    return {name: statistics.median(some) for name, some in times.items()}


def facts() -> dict[str, Any]:
    """Return where this was measured, and how busy the machine was."""
    return {
        "machine": platform.platform(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0],
        "torch": torch.__version__,
    }


def write(out: Path | None, result: Mapping[str, Any]) -> None:
    """Write the result with the facts, if a file is named."""
    if out:
        out.write_text(json.dumps({**facts(), **result}, indent=1))
        print(f"Written: {out}")
