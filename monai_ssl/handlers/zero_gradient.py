"""Warn of loss terms whose gradient is zero."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import ignite.distributed as idist
import torch
from ignite.engine import Events

from monai_ssl.handlers.undisturbed import undisturbed

if TYPE_CHECKING:
    from monai_ssl.engines import SSLTrainer


class ZeroGradient:
    """Warn of a loss term whose gradient is zero for everything that its step trains.

    Such a term looks healthy in a curve: a detached output, a weight of 0, a contrastive loss without negatives. At a
    few iterations the terms are computed once more and each is differentiated by itself; a term that moved nothing at
    any of them is named, once. It changes nothing of the run. All ranks take part, since losses may gather.

    Args:
        at: iterations after the start or continuation of a run, several, since a step may draw a part of the method.

    Raises:
        ValueError: when ``at`` is empty or holds numbers below 1.
    """

    def __init__(self, at: Sequence[int] = (5, 20, 50, 100)) -> None:
        if not at or min(at) < 1:
            raise ValueError(f"`at` of `ZeroGradient` are iterations of at least 1, got {list(at)}.")
        self.at = frozenset(at)
        self._first: int | None = None
        self._dead: dict[str, str] | None = None

    def attach(self, engine: SSLTrainer) -> None:
        """Look after some iterations."""
        engine.add_event_handler(Events.STARTED, self._reset)
        engine.add_event_handler(Events.ITERATION_STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._check)

    def _reset(self) -> None:
        self._first = self._dead = None

    def _begin(self, engine: SSLTrainer) -> None:
        # not when the run starts: a checkpoint may be loaded then
        if self._first is None:
            self._first = engine.state.iteration - 1

    def _check(self, engine: SSLTrainer) -> None:
        since = engine.state.iteration - (self._first or 0)
        if since not in self.at:
            return
        found = _dead_terms(engine)
        self._dead = found if self._dead is None else {k: v for k, v in found.items() if k in self._dead}
        if since == max(self.at) and self._dead and idist.get_rank() == 0:
            warnings.warn(self._message(self._dead), UserWarning, stacklevel=2)

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
    with undisturbed(trainer) as method, torch.enable_grad():
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
