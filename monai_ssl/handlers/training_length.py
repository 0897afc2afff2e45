"""Say at the start how long a training is, in optimizer steps and samples; warn of one that is too short to teach."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import ignite.distributed as idist
from ignite.engine import Events

if TYPE_CHECKING:
    from monai_ssl.engines import SSLTrainer

logger = logging.getLogger(__name__)
FEW_STEPS = 1000


class TrainingLength:
    """Log the optimizer steps and samples of a run when it starts; on rank 0 only.

    What is counted decides whether pre-training can have learned anything: an epoch of 30 scans is a few steps.

    Args:
        batch_size: samples of one process in an iteration.

    >>> TrainingLength(16).told(epochs=10, iterations=42, steps=420)
    '10 epochs of 42 iterations: 420 optimizer steps, 6,720 samples'
    """

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size

    def attach(self, engine: SSLTrainer) -> None:
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: SSLTrainer) -> None:
        """Log the length, and warn where there are fewer than a thousand steps."""
        state: Any = engine.state
        if idist.get_rank() != 0 or state.iteration >= state.max_epochs * state.epoch_length:
            return
        steps = state.max_epochs * -(-state.epoch_length // engine.accumulation_steps)
        logger.info("%s.", self.told(state.max_epochs, state.epoch_length, steps))
        if steps < FEW_STEPS:
            logger.warning(
                "%d optimizer steps are few: below about %d an encoder has rarely learned what helps. Raise "
                "`max_epochs`, or `windows_per_scan` where scans are few.",
                steps,
                FEW_STEPS,
            )

    def told(self, epochs: int, iterations: int, steps: int) -> str:
        """Return the length in words."""
        samples = epochs * iterations * self.batch_size * idist.get_world_size()
        return f"{epochs} epochs of {iterations} iterations: {steps:,} optimizer steps, {samples:,} samples"


__all__ = ["FEW_STEPS", "TrainingLength"]
