"""Stop fine-tuning at a loss that is not finite, before it reaches the weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from ignite.engine import Engine
from monai.engines import IterationEvents


class FiniteLoss:
    """Ignite handler of MONAI's ``SupervisedTrainer`` that raises where the loss is not finite.

    Raises:
        FloatingPointError: in training, before the optimizer steps; names iteration and images.
    """

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Look at the loss of this iteration."""
        state: Any = engine.state
        loss = torch.as_tensor(state.output["loss"]).detach()
        if loss.isfinite().all():
            return
        raise FloatingPointError(
            f"The loss is {loss.mean().item():g} in iteration {state.iteration} (epoch {state.epoch}): training "
            "stopped, and what was saved is kept. Look at the images of the batch "
            f"({', '.join(_images(state.batch)) or 'unknown'}), or lower `lr`."
        )


def _images(batch: Any) -> Iterator[str]:
    images = batch.get("image") if isinstance(batch, Mapping) else None
    files = getattr(images, "meta", {}).get("filename_or_obj", [])
    yield from map(str, files if isinstance(files, (list, tuple)) else [files])
