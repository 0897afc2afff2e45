"""Checks of what a user writes into the constructor of a transform."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def check_range(name: str, value: Sequence[float], lowest: float = -np.inf) -> tuple[float, float]:
    """Return ``value`` as (low, high).

    Raises:
        ValueError: when it is not two numbers with ``lowest`` <= low <= high.
    """
    if len(value) != 2 or not lowest <= value[0] <= value[1] < np.inf:
        least = "" if lowest == -np.inf else f" of at least {lowest:g}"
        raise ValueError(f"`{name}` must be two finite numbers{least}, low and high, got {value}.")
    return float(value[0]), float(value[1])


def per_axis(name: str, value: float | Sequence[float], dims: int) -> NDArray[np.float64]:
    """Return ``value`` as one number for each of ``dims`` spatial axes.

    Raises:
        ValueError: when it is a sequence of another length.
    """
    values = np.atleast_1d(np.asarray(value, dtype=np.float64))
    if values.shape not in [(1,), (dims,)]:
        raise ValueError(
            f"`{name}` has {len(values)} numbers, but the image has {dims} spatial axes: give one number for all axes "
            "or one for each."
        )
    return np.broadcast_to(values, (dims,))
