"""Test scores of a cell: overall, per patient, per class, and pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from ignite.engine import Engine, Events
from torch import Tensor

from monai_ssl.data.cases import Case, patient_of
from monai_ssl.study.folder import JobFolder
from monai_ssl.tasks import Task


class Scoring:
    """Follows the evaluator of a downstream bundle over the test cases, which come in the order of their list.

    Args:
        task: says what the scores are.
        metric: short name of the score.
        folder: of the cell, where pictures go.
    """

    def __init__(self, task: Task, metric: str, folder: JobFolder) -> None:
        self.task, self.metric, self.folder = task, metric, folder
        self.patients: list[str] = []
        self.kept: list[Any] = []
        self.details: Tensor | None = None

    def attach(self, evaluator: Engine, cases: Sequence[Case]) -> None:
        self.patients = [patient_of(case) for case in cases]
        evaluator.add_event_handler(Events.ITERATION_COMPLETED, self._remember)
        evaluator.add_event_handler(Events.COMPLETED, self._finish)

    def _remember(self, engine: Engine) -> None:
        self.kept += [self.task.keep(sample) for sample in cast(list[Mapping[str, Tensor]], engine.state.output)]

    def _finish(self, engine: Engine) -> None:
        details = getattr(engine.state, "metric_details", None) or {}
        found = details.get(self.task.metric(self.metric).key)
        self.details = None if found is None else torch.as_tensor(found).detach().cpu().double()

    def result(self) -> dict[str, Any]:
        """Return ``score``, ``per_case``, ``per_class``, ``pseudo_values`` and ``pictures``.

        Raises:
            ValueError: when no test case has a score.
        """
        scores = self.task.score(self.metric, self.kept, self.patients, self.details)
        if not math.isfinite(scores.score):
            raise ValueError(
                f"The {self.metric} of the test patients is not a number: none of them has what is to be found, or "
                "nothing was predicted; look at the test section of the data."
            )
        return {
            "score": scores.score,
            "per_case": dict(scores.per_case),
            "per_class": dict(scores.per_class),
            "pseudo_values": dict(scores.pseudo_values),
            "pictures": self.task.draw(self.metric, self.kept, scores, self.folder.root),
        }
