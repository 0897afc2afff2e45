"""CPU cores that this process may use (CPU affinity)."""

from __future__ import annotations

import os


def cores() -> int:
    """Return how many cores this process may use, which a container or a scheduler may limit."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


__all__ = ["cores"]
