"""Warn of two views that are identical (augmentation missing)."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import torch
from ignite.engine import Events

from monai_ssl.handlers.diagnostics.base import Diagnostic, Look

if TYPE_CHECKING:
    from monai_ssl.engines import SSLTrainer


class IdenticalViews(Diagnostic):
    """Tell when two views of each sample are equal to the last bit, batch after batch: comparing them is no task.

    Views are the images ``view1``, ``view2``, ... and ``anchor``, ``positive`` of the batch. Only batches with
    something in them count, and all pairs of a batch must be equal.

    Args:
        checks: first iterations of a run to look at.

    Raises:
        ValueError: when ``checks`` is below 1.
    """

    def __init__(self, checks: int = 5) -> None:
        if checks < 1:
            raise ValueError(f"`checks` of `IdenticalViews` is a number of iterations of at least 1, got {checks}.")
        self.checks = checks
        self._done = 0
        self._equal: set[tuple[str, str]] | None = None

    def looks(self) -> dict[Events, Look]:
        return {Events.ITERATION_COMPLETED: self._check}

    def _check(self, engine: SSLTrainer) -> str | None:
        if self._done == self.checks:
            return None
        views = {k: v for k, v in engine.state.views.items() if _is_view(k, v)}
        # blank windows are equal in any view
        if not any(len(v) and bool((v != v.flatten()[0]).any()) for v in views.values()):
            return None
        self._done += 1
        found = {(a, b) for a, b in combinations(views, 2) if torch.equal(views[a], views[b])}
        self._equal = found if self._equal is None else self._equal & found
        if self._done < self.checks or not self._equal:
            return None
        pairs = "; ".join(f"`{a}` and `{b}`" for a, b in sorted(self._equal))
        return (
            f"The views {pairs} were the same in each of {self.checks} batches: there is nothing to compare. Let "
            "`crops` or `views` of the configuration draw for each view by itself (`Separatelyd`)."
        )


def _is_view(key: Any, value: Any) -> bool:
    name = str(key)
    numbered = name.startswith("view") and name[4:].isdigit()
    return (numbered or name in ("anchor", "positive")) and torch.is_tensor(value) and value.ndim >= 4


__all__ = ["IdenticalViews"]
