"""Collapse monitor: standard deviation and effective rank of the representations during training."""

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


# what rounding leaves of equal vectors in single precision
_EQUAL = 1e-6


class CollapseMonitor:
    r"""Put ``collapse/spread`` and ``collapse/effective_rank`` of the present batch into the metrics.

    The spread is the standard deviation of L2-normalized representations in units of :math:`1 / \sqrt{D}`: about 1 for
    vectors that point everywhere, 0 in collapse. Averages of rectified features start near 0 (0.0005 for the papers'
    untrained 3-D encoder on chest CT) and spread with training, so a small value alone tells nothing. A check is bad
    when the spread is below ``alarm`` and below a quarter of its highest value so far, or when all vectors are equal;
    after ``patience`` bad checks in a row, a warning says once what to do. Active on rank 0 only.

    Args:
        every: iterations between two checks, beside the first iteration; each costs one forward pass of the encoder.
        key: of the images to look at; by default the first of the batch.
        alarm: spread above which a representation never counts as collapsed.
        patience: bad checks in a row before the warning.

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
        self._highest = 0.0
        self._bad = 0
        self._warned = False

    def attach(self, engine: SSLTrainer) -> None:
        """Look at ``engine.state.views`` every few iterations."""
        if idist.get_rank() == 0:
            engine.add_event_handler(Events.ITERATION_COMPLETED(event_filter=self._is_due), self._check)

    def _is_due(self, engine: SSLTrainer, iteration: int) -> bool:
        return iteration == 1 or iteration % self.every == 0

    def _check(self, engine: SSLTrainer) -> None:
        images = _images(engine.state.views, self.key)
        if len(images) < 2:
            return
        with undisturbed(engine) as method:
            vectors = method.representation(images).float()
        found = {"collapse/spread": spread(vectors), "collapse/effective_rank": effective_rank(vectors)}
        engine.state.metrics |= found
        self._bad = self._bad + 1 if self._is_bad(found["collapse/spread"]) else 0
        if self._bad >= self.patience and not self._warned:
            self._warned = True
            warnings.warn(self._message(engine, found), UserWarning, stacklevel=2)

    def _is_bad(self, value: float) -> bool:
        self._highest = max(self._highest, value)
        return value < self.alarm and (value < self._highest / 4 or value < _EQUAL)

    def _message(self, engine: SSLTrainer, found: Mapping[str, float]) -> str:
        return (
            f"The representations of different images have become nearly the same (spread "
            f"{found['collapse/spread']:.2g}, at its highest {self._highest:.2g}; effective rank "
            f"{found['collapse/effective_rank']:.1f}) in the last {self.patience} checks up to iteration "
            f"{engine.state.iteration}. If this goes on, the network has collapsed: lower `lr` or give it a longer "
            "warm-up, raise `batch_size`, make the views differ more, and look at `collapse/spread` and the probe in "
            "MLflow."
        )


def _images(views: Any, key: str | None) -> Tensor:
    if key is not None and key not in views:
        raise KeyError(f"`key` of `CollapseMonitor` is {key!r}, but the batch has {', '.join(views)}.")
    found = views[key] if key is not None else next(x for x in views.values() if torch.is_tensor(x) and x.ndim >= 4)
    return found.detach()


__all__ = ["CollapseMonitor"]
