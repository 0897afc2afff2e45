"""Collapse monitor: standard deviation and effective rank of the representations during training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from ignite.engine import Events

from monai_ssl.evaluation.spread import effective_rank, spread
from monai_ssl.handlers.diagnostics.base import Diagnostic, Look
from monai_ssl.handlers.preserving_state import preserving_state

if TYPE_CHECKING:
    from monai_ssl.engines import SSLTrainer


# what rounding leaves of equal vectors in single precision
_EQUAL = 1e-6


class CollapseMonitor(Diagnostic):
    r"""Put ``collapse/spread`` and ``collapse/effective_rank`` of the first images of a batch into the metrics.

    The spread is the standard deviation of L2-normalized representations in units of :math:`1 / \sqrt{D}`: about 1 for
    vectors that point everywhere, 0 in collapse. Averages of rectified features start near 0 (0.0005 for the papers'
    untrained 3-D encoder on chest CT) and spread with training, so a small value alone tells nothing. A check is bad
    when the spread is below ``alarm`` and below a quarter of its highest value so far, or when all vectors are equal;
    after ``patience`` bad checks in a row it says what to do.

    Args:
        every: iterations between two checks, beside the first iteration and the last of each epoch; each costs one
            forward pass of the encoder.
        alarm: spread above which a representation never counts as collapsed.
        patience: bad checks in a row before the warning.

    Raises:
        ValueError: when ``every`` or ``patience`` is below 1.
    """

    def __init__(self, every: int = 100, *, alarm: float = 0.2, patience: int = 5) -> None:
        if every < 1 or patience < 1:
            raise ValueError(
                f"`every` and `patience` of `CollapseMonitor` must be at least 1, got {every} and {patience}."
            )
        self.every, self.alarm, self.patience = every, alarm, patience
        self._highest = 0.0
        self._bad = 0

    def attach(self, engine: SSLTrainer) -> None:
        self.all_ranks = engine.sharded  # all run the network that they share
        super().attach(engine)

    def looks(self) -> dict[Events, Look]:
        return {Events.ITERATION_COMPLETED: self._check}

    def _check(self, engine: SSLTrainer) -> str | None:
        iteration = engine.state.iteration
        if iteration > 1 and iteration % self.every and iteration % (engine.state.epoch_length or 1):
            return None
        images = next((x for x in engine.state.views.values() if torch.is_tensor(x) and x.ndim >= 4), None)
        if images is None or len(images) < 2:
            return None
        with preserving_state(engine) as method:
            vectors = method.representation(images.detach()).float()
        found, rank = spread(vectors), effective_rank(vectors)
        engine.state.metrics |= {"collapse/spread": found, "collapse/effective_rank": rank}
        self._bad = self._bad + 1 if self._is_bad(found) else 0
        return self._message(iteration, found, rank) if self._bad >= self.patience else None

    def _is_bad(self, value: float) -> bool:
        self._highest = max(self._highest, value)
        return value < self.alarm and (value < self._highest / 4 or value < _EQUAL)

    def _message(self, iteration: int, found: float, rank: float) -> str:
        return (
            f"The representations of different images have become nearly the same (spread {found:.2g}, at its highest "
            f"{self._highest:.2g}; effective rank {rank:.1f}) in the last {self.patience} checks up to iteration "
            f"{iteration}. If this goes on, the network has collapsed: lower `lr` or give it a longer warm-up, raise "
            "`batch_size`, make the views differ more, and look at `collapse/spread` and the probe in MLflow."
        )


__all__ = ["CollapseMonitor"]
