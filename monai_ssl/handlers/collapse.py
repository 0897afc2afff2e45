"""A watch on representations that become the same for every image."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import ignite.distributed as idist
import torch
from ignite.engine import Events
from torch import Tensor

from monai_ssl.evaluation.spread import effective_rank, spread
from monai_ssl.handlers.undisturbed import undisturbed

if TYPE_CHECKING:
    from monai_ssl.engines import SSLTrainer


class CollapseMonitor:
    r"""Put ``collapse/spread`` and ``collapse/effective_rank`` of the present batch into the metrics.

    The spread is the standard deviation of L2-normalized representations in units of :math:`1 / \sqrt{D}`: about 1 is
    healthy, 0 is collapse. When it stays below ``alarm`` for ``patience`` checks, a warning says once what to do.
    Active on rank 0 only.

    Args:
        every: iterations between two checks; each costs one forward pass of the encoder.
        key: of the images to look at; by default the first of the batch.
        alarm: spread below which a representation counts as collapsed.
        patience: checks in a row below ``alarm`` before the warning.

    Raises:
        ValueError: when ``every`` or ``patience`` is below 1.
    """

    def __init__(self, every: int = 100, key: str | None = None, *, alarm: float = 0.2, patience: int = 5) -> None:
        if every < 1 or patience < 1:
            raise ValueError(
                f"`every` and `patience` of `CollapseMonitor` must be at least 1, got {every} and {patience}."
            )
        self.every = every
        self.key = key
        self.alarm = alarm
        self.patience = patience
        self._below = 0
        self._warned = False

    def attach(self, engine: SSLTrainer) -> None:
        """Look at ``engine.state.views`` every few iterations."""
        if idist.get_rank() == 0:
            engine.add_event_handler(Events.ITERATION_COMPLETED(every=self.every), self._check)

    def _check(self, engine: SSLTrainer) -> None:
        images = _images(engine.state.views, self.key)
        if len(images) < 2:
            return
        with undisturbed(engine) as method:
            vectors = method.representation(images).float()
        found = {"collapse/spread": spread(vectors), "collapse/effective_rank": effective_rank(vectors)}
        engine.state.metrics |= found
        self._below = self._below + 1 if found["collapse/spread"] < self.alarm else 0
        if self._below >= self.patience and not self._warned:
            self._warned = True
            warnings.warn(self._message(engine, found), UserWarning, stacklevel=2)

    def _message(self, engine: SSLTrainer, found: Mapping[str, float]) -> str:
        return (
            f"The representations of different images are nearly the same (spread {found['collapse/spread']:.2g}, "
            f"where 1 is healthy; effective rank {found['collapse/effective_rank']:.1f}), and have been in the last "
            f"{self.patience} checks up to iteration {engine.state.iteration}. If this goes on, the network has "
            "collapsed: lower `lr` or give it a longer warm-up, raise `batch_size`, make the views differ more, and "
            "look at `collapse/spread` and the probe in MLflow."
        )


def _images(views: Any, key: str | None) -> Tensor:
    if key is not None and key not in views:
        raise KeyError(f"`key` of `CollapseMonitor` is {key!r}, but the batch has {', '.join(views)}.")
    found = views[key] if key is not None else next(x for x in views.values() if torch.is_tensor(x) and x.ndim >= 4)
    return found.detach()


__all__ = ["CollapseMonitor"]
