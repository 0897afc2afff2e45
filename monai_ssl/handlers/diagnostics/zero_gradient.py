"""Warn of loss terms whose gradient is zero."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from ignite.engine import Events

from monai_ssl.handlers.diagnostics.base import Diagnostic, Look
from monai_ssl.handlers.preserving_state import preserving_state

if TYPE_CHECKING:
    from monai_ssl.engines import SSLTrainer


class ZeroGradient(Diagnostic):
    """Name loss terms whose gradient is zero for everything that their step trains.

    Such a term looks healthy in a curve: a detached output, a weight of 0, a contrastive loss without negatives. At a
    few iterations the terms are computed once more and each is differentiated by itself; a term that moved nothing at
    any of them is named. Of a method that processes share it does not look: each would need all gradients at once.

    Args:
        at: iterations after the start or continuation of a run, several, since a step may draw a part of the method.

    Raises:
        ValueError: when ``at`` is empty or holds numbers below 1.
    """

    all_ranks = True

    def __init__(self, at: Sequence[int] = (5, 20, 50, 100)) -> None:
        if not at or min(at) < 1:
            raise ValueError(f"`at` of `ZeroGradient` are iterations of at least 1, got {list(at)}.")
        self.at = frozenset(at)
        self._passed = 0
        self._dead: dict[str, str] | None = None

    def looks(self) -> dict[Events, Look]:
        return {Events.STARTED: self._begin, Events.ITERATION_COMPLETED: self._check}

    def _begin(self, engine: SSLTrainer) -> None:
        self._passed, self._dead = 0, None

    def _check(self, engine: SSLTrainer) -> str | None:
        self._passed += 1
        if self._passed not in self.at or engine.sharded:
            return None
        found = _dead_terms(engine)
        self._dead = found if self._dead is None else {k: v for k, v in found.items() if k in self._dead}
        return self._message(self._dead) if self._dead and self._passed == max(self.at) else None

    def _message(self, dead: dict[str, str]) -> str:
        terms = ", ".join(f"`{term}` ({why})" for term, why in dead.items())
        return (
            f"The gradient of {terms} was zero at each of {len(self.at)} checks: the network learns nothing from it. "
            "Look for a weight of 0, an output that was detached, views that are equal or a batch of one sample; "
            "leave the term out if it is not wanted."
        )


def _dead_terms(trainer: SSLTrainer) -> dict[str, str]:
    """Return the terms without a gradient, and how each lacks it."""
    dead = {}
    with preserving_state(trainer) as method, torch.enable_grad():
        for step in method.steps:
            trained = list(method.step_parameters(step))
            terms = method(trainer.state.views, step)
            for name, term in terms.items():
                if not term.requires_grad:
                    dead[name] = "it depends on nothing that is trained"
                    continue
                # scaled as in training, or small gradients of float16 would count as none
                scaled = trainer.scaler.scale(term)
                gradients = torch.autograd.grad(scaled, trained, retain_graph=True, allow_unused=True)
                if not any(bool(g.any()) for g in gradients if g is not None):
                    dead[name] = "all its derivatives are 0"
    return dead


__all__ = ["ZeroGradient"]
