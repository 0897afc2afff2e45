"""CPU cores that this process may use (CPU affinity), and how often its progress bars are drawn."""

from __future__ import annotations

import os
import sys


def cores() -> int:
    """Return how many cores this process may use, which a container or a scheduler may limit."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def bar_interval() -> float:
    """Return the seconds between two states of a progress bar: a terminal redraws it, a log would be filled with it."""
    return 0.2 if sys.stderr.isatty() else 30.0


__all__ = ["bar_interval", "cores"]
