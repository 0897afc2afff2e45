"""Test scores of a cell: overall, per patient, per class, and pictures of the best and worst case."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.metrics import compute_roc_auc
from torch import Tensor

from monai_ssl.data.cases import Case, patient_of
from monai_ssl.evaluation.auc_pseudo_values import auc_pseudo_values
from monai_ssl.study.folder import JobFolder
from monai_ssl.study.pictures import Slice, draw, thickest_slice


class Scoring:
    """Follows the evaluator of a downstream bundle over the test cases, which come in the order of their list.

    The score is the mean over patients of the mean over classes and scans, where a class that a scan does not have
    counts for nothing. An AUC has no value for one patient; its pseudo-values stand for that.

    Args:
        kind: ``"segmentation"`` or ``"classification"``.
        metric: name of the score.
        classes: names, without background.
        folder: of the cell, where pictures go.
    """

    def __init__(self, kind: str, metric: str, classes: Sequence[str], folder: JobFolder) -> None:
        self.kind, self.metric, self.classes, self.folder = kind, metric, list(classes), folder
        self.patients: list[str] = []
        self.slices: list[Slice] = []
        self.outputs: list[tuple[Tensor, Tensor]] = []
        self.table: Tensor | None = None

    def attach(self, evaluator: Engine, cases: Sequence[Case]) -> None:
        self.patients = [patient_of(case) for case in cases]
        evaluator.add_event_handler(Events.ITERATION_COMPLETED, self._remember)
        evaluator.add_event_handler(Events.COMPLETED, self._finish)

    def _remember(self, engine: Engine) -> None:
        for sample in cast(list[dict[str, Tensor]], engine.state.output):
            pred, label = (torch.as_tensor(sample[name]).detach().cpu() for name in ("pred", "label"))
            if self.kind == "segmentation":
                image = torch.as_tensor(sample["image"]).detach().cpu()
                self.slices.append(thickest_slice(image, label.argmax(0), pred.argmax(0)))
            else:
                self.outputs.append((pred, label))

    def _finish(self, engine: Engine) -> None:
        if self.kind == "segmentation":
            details = engine.state.metric_details[f"val_{self.metric}"]  # type: ignore[attr-defined]
            self.table = torch.as_tensor(details).detach().cpu().double()

    def result(self) -> dict[str, Any]:
        """Return ``score``, ``per_case``, ``per_class`` and ``pictures``; ``pseudo_values`` of an AUC.

        Raises:
            ValueError: when no test case has a score.
        """
        result = self._segmentation() if self.kind == "segmentation" else self._classification()
        if not math.isfinite(result["score"]):
            raise ValueError(
                f"The {self.metric} of the test patients is not a number: none of them has what is to be found, or "
                "nothing was predicted; look at the test section of the data."
            )
        return result

    def _segmentation(self) -> dict[str, Any]:
        assert self.table is not None
        # an infinite distance, of a structure that was missed, has no mean: it is shown as missing
        table = torch.where(self.table.isfinite(), self.table, torch.nan)
        per_case = self._by_patient(table.nanmean(1))
        means = table.nanmean(0)
        per_class = {name: float(mean) for name, mean in zip(self.classes, means, strict=True) if mean.isfinite()}
        return {
            "score": _mean(per_case.values()),
            "per_case": per_case,
            "per_class": per_class,
            "pictures": self._draw(table.nanmean(1)),
        }

    def _classification(self) -> dict[str, Any]:
        pred, label = (torch.stack(column) for column in zip(*self.outputs, strict=True))
        if self.metric == "accuracy":
            right = self._right(pred, label)
            per_case = self._by_patient(right)
            per_class = {n: _mean(right[label[:, i] == 1].tolist()) for i, n in enumerate(self.classes)}
            result = {"score": _mean(per_case.values()), "per_case": per_case}
        else:
            per_class = {n: _auc(pred[:, i], label[:, i]) for i, n in enumerate(self.classes)}
            judged = [i for i, auc in enumerate(per_class.values()) if math.isfinite(auc)]
            result = {
                "score": _mean(per_class.values()),
                "per_case": dict.fromkeys(self.patients),
                "pseudo_values": self._pseudo_values(pred[:, judged], label[:, judged]),
            }
        finite = {name: value for name, value in per_class.items() if math.isfinite(value)}
        return {**result, "per_class": finite, "pictures": []}

    def _pseudo_values(self, pred: Tensor, label: Tensor) -> dict[str, float]:
        found: dict[str, list[float]] = defaultdict(list)
        for scores, truth in zip(pred.T.double().numpy(), label.T.numpy(), strict=True):
            for patient, value in auc_pseudo_values(scores, truth, self.patients).items():
                found[patient].append(value)
        means = {patient: float(np.mean(values)) for patient, values in found.items()}
        return {patient: mean for patient, mean in means.items() if math.isfinite(mean)}

    def _right(self, pred: Tensor, label: Tensor) -> Tensor:
        # one label of several is decided at one half, see `monai_ssl.transfer.decisions`
        if (label.sum(1) == 1).all() and torch.allclose(pred.sum(1), torch.ones(len(pred)), atol=1e-3):
            return (pred.argmax(1) == label.argmax(1)).double()
        return ((pred > 0.5) == (label > 0.5)).double().mean(1)

    def _by_patient(self, values: Tensor) -> dict[str, float | None]:
        found: dict[str, list[float]] = defaultdict(list)
        for patient, value in zip(self.patients, values.tolist(), strict=True):
            found[patient].append(value)
        means = {patient: _mean(v) for patient, v in found.items()}
        return {patient: mean if math.isfinite(mean) else None for patient, mean in means.items()}

    def _draw(self, values: Tensor) -> list[str]:
        order = [i for i in values.argsort().tolist() if values[i].isfinite()]
        if not order:
            return []
        low, high = ("best", "worst") if self.metric == "hd95" else ("worst", "best")
        chosen = {low: order[0], high: order[-1]}
        for name, index in chosen.items():
            draw(self.slices[index], self.folder.picture(f"{name}.png"))
        return [f"{name}.png" for name in ("best", "worst")]


def _auc(pred: Tensor, label: Tensor) -> float:
    """AUC of one class against the rest; no number where the test has one side only."""
    if label.unique().numel() < 2:
        return math.nan
    return float(cast(float, compute_roc_auc(pred, label)))


def _mean(values: Any) -> float:
    finite = [float(v) for v in values if v is not None and math.isfinite(v)]
    return sum(finite) / len(finite) if finite else math.nan
