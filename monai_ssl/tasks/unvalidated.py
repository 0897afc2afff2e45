"""Save the last model where there is no validation set."""

from __future__ import annotations

from pathlib import Path

import torch
from ignite import distributed as idist
from ignite.engine import Engine, Events
from monai.engines import Evaluator
from torch import nn

from monai_ssl.files import atomic


class SaveUnvalidated:
    """Ignite handler that writes the last model when there are no validation cases.

    The best model is chosen, and written, by the validation; without cases none would be written at all, as after the
    first scan that an annotator labels.

    Args:
        network: may be wrapped by ``DistributedDataParallel``.
        path: of the state dict.
        validator: whose ``data_loader`` tells whether there are cases.
    """

    def __init__(self, network: nn.Module, path: str | Path, validator: Evaluator) -> None:
        self.network = network
        self.path = Path(path)
        self.validator = validator

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the model, if the run is complete and nothing else has."""
        del engine
        if len(self.validator.data_loader) or idist.get_rank() > 0:  # type: ignore[arg-type]
            return
        with atomic(self.path) as file:
            torch.save(getattr(self.network, "module", self.network).state_dict(), file)
