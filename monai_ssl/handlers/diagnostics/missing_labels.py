"""Warn of classes of a proxy task that never occur in its labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from ignite.engine import Events
from torch import Tensor

from monai_ssl.handlers.diagnostics.base import Diagnostic, Look
from monai_ssl.methods.base import Method

if TYPE_CHECKING:
    from monai_ssl.engines import SSLTrainer

_NAMED = 8


class MissingLabels(Diagnostic):
    """Name labels that a proxy task can ask for and that no sample has.

    The rotations of a volume that is no cube are fewer than ten, a list of visual words may hold one without windows:
    the accuracy looks better than it is. It counts ``label`` of the batch, integers (B,), and judges once, when an
    epoch has passed and there were enough samples that a label of average frequency cannot be absent by chance.

    Args:
        samples: for each label, before judging.

    Raises:
        ValueError: when ``samples`` is below 1.
    """

    def __init__(self, samples: int = 20) -> None:
        if samples < 1:
            raise ValueError(f"`samples` of `MissingLabels` must be at least 1, got {samples}.")
        self.samples = samples
        self._counts: Tensor | None = None

    def looks(self) -> dict[Events, Look]:
        return {
            Events.STARTED: self._begin,
            Events.ITERATION_COMPLETED: self._count,
            Events.EPOCH_COMPLETED: self._judge,
        }

    def _begin(self, engine: SSLTrainer) -> None:
        classes = _classes(engine.method)
        if classes is not None:
            self._counts = torch.zeros(classes, dtype=torch.long, device=engine.state.device)

    def _count(self, engine: SSLTrainer) -> None:
        labels = engine.state.views.get("label")
        if self._counts is not None and torch.is_tensor(labels) and not labels.is_floating_point():
            self._counts += torch.bincount(labels.flatten(), minlength=len(self._counts))[: len(self._counts)]

    def _judge(self, engine: SSLTrainer) -> str | None:
        counts = self._counts
        if counts is None or counts.sum() < self.samples * len(counts):
            return None
        self._counts = None
        missing = (counts == 0).nonzero().flatten().tolist()
        if not missing:
            return None
        named = ", ".join(map(str, missing[:_NAMED])) + (", ..." if len(missing) > _NAMED else "")
        return (
            f"{len(missing)} of {len(counts)} labels never occurred in {int(counts.sum())} samples: {named}. The task "
            "is easier than it says; look at `panels` of the run's pictures, and whether the shape of the windows "
            "allows all labels."
        )


def _classes(method: Method) -> int | None:
    """Return the number of labels of the method, or of the first one in it, where there are any."""
    return next((m.num_labels for m in method.modules() if isinstance(m, Method) and m.num_labels), None)


__all__ = ["MissingLabels"]
