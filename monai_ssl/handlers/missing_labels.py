"""Warn of classes of a proxy task that never occur in its labels."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import ignite.distributed as idist
import torch
from ignite.engine import Events
from torch import Tensor

from monai_ssl.methods.base import Method

if TYPE_CHECKING:
    from monai_ssl.engines import SSLTrainer

_NAMED = 8


class MissingLabels:
    """Warn of labels that a proxy task can ask for and that no sample has.

    The rotations of a volume that is no cube are fewer than ten, a list of visual words may hold one without windows:
    the accuracy looks better than it is. It judges once, on rank 0, when an epoch has passed and there were enough
    samples that a label of average frequency cannot be absent by chance.

    Args:
        key: of the labels, integers (B,) in the batch.
        samples: for each label, before judging.

    Raises:
        ValueError: when ``samples`` is below 1.
    """

    def __init__(self, key: str = "label", samples: int = 20) -> None:
        if samples < 1:
            raise ValueError(f"`samples` of `MissingLabels` must be at least 1, got {samples}.")
        self.key, self.samples = key, samples
        self._counts: Tensor | None = None
        self._judged = False

    def attach(self, engine: SSLTrainer) -> None:
        """Count the labels of ``engine.state.views``."""
        classes = _classes(engine.method)
        if idist.get_rank() == 0 and classes is not None:
            self._counts = torch.zeros(classes, dtype=torch.long, device=engine.state.device)
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._count)
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._judge)

    def _count(self, engine: SSLTrainer) -> None:
        labels = engine.state.views.get(self.key)
        if self._judged or self._counts is None or not torch.is_tensor(labels) or labels.is_floating_point():
            return
        self._counts += torch.bincount(labels.flatten(), minlength=len(self._counts))[: len(self._counts)]

    def _judge(self, engine: SSLTrainer) -> None:
        if self._judged or self._counts is None or self._counts.sum() < self.samples * len(self._counts):
            return
        self._judged = True
        missing = (self._counts == 0).nonzero().flatten().tolist()
        if missing:
            named = ", ".join(map(str, missing[:_NAMED])) + (", ..." if len(missing) > _NAMED else "")
            warnings.warn(
                f"{len(missing)} of {len(self._counts)} labels never occurred in {int(self._counts.sum())} samples: "
                f"{named}. The task is easier than it says; look at `panels` of the run's pictures, and whether the "
                "shape of the windows allows all labels.",
                UserWarning,
                stacklevel=2,
            )


def _classes(method: Method) -> int | None:
    """Return the number of labels of the method, or of the first one in it, where there are any."""
    return next((m.num_labels for m in method.modules() if isinstance(m, Method) and m.num_labels), None)


__all__ = ["MissingLabels"]
