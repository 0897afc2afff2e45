"""Random seeds per iteration and rank, and the RNG state of a checkpoint, for a bit-exact resume."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

from monai_ssl.methods.base import Method
from monai_ssl.transforms.views import BatchViews


def seed_iteration(method: Method, views: BatchViews | None, seed: int, iteration: int, rank: int) -> None:
    """Seed all that draws in an iteration from its number.

    A run then needs no state of a generator to continue, and a change of one view does not shift the draws of later
    iterations. ``method.generator`` agrees on all ranks; views and torch's global generator differ by rank.
    """
    own, shared = (np.random.SeedSequence([seed, iteration, r]).generate_state(2) for r in (rank + 1, 0))
    for module in method.modules():
        if isinstance(module, Method):
            module.generator.manual_seed(int(shared[0]))
    torch.manual_seed(int(own[0]))
    if views is not None:
        views.set_random_state(seed=int(own[1]))


def rng_state() -> dict[str, Any]:
    """The global generators of torch, NumPy and Python, as tensors and plain numbers only."""
    legacy: Any = np.random.get_state()  # noqa: NPY002 (a user's transform may draw there)
    name, keys, position, has_gauss, cached = legacy
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": (str(name), torch.from_numpy(keys.astype(np.int64)), int(position), int(has_gauss), float(cached)),
        "python": random.getstate(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_rng_state(state: dict[str, Any]) -> None:
    """Restore what :func:`rng_state` returned."""
    torch.set_rng_state(state["torch"].cpu())
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))  # noqa: NPY002
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())
