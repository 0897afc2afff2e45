"""Handlers of an evaluator for segmentation: mIoU and mIoU+ of probabilities, mean recall of decisions."""

from __future__ import annotations

from typing import Any

import torch
from monai.handlers import IgniteMetricHandler, from_engine
from monai.metrics import CumulativeIterationMetric
from monai.metrics.utils import do_metric_reduction
from torch import Tensor

from monai_ssl.evaluation.mean_iou import mean_iou


class ProbabilityIoU(CumulativeIterationMetric):
    """Mean over images and structures of :func:`monai_ssl.evaluation.mean_iou`.

    Args:
        background: ``True`` for mIoU, ``False`` for mIoU+.
        first: channel of the first structure, 1 after that of the background, 0 where there is none.

    Shapes:
        Probabilities and labels of 0 and 1 (B, first + K, *spatial); it gives (B, K).

    >>> metric = ProbabilityIoU(background=False)
    >>> truth = torch.eye(2)[None]
    >>> metric(0.72 * truth, truth)
    tensor([[0.5000]])
    """

    def __init__(self, background: bool, first: int = 1) -> None:
        super().__init__()
        self.background, self.first = background, first

    def _compute_tensor(self, y_pred: Tensor, y: Tensor | None = None, **kwargs: Any) -> Tensor:
        assert y is not None
        pairs = zip(y_pred[:, self.first :], y[:, self.first :], strict=True)
        return torch.stack([mean_iou(p.as_subclass(Tensor), t, background=self.background) for p, t in pairs])

    def aggregate(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return the mean over images of the mean over structures that have a score."""
        return do_metric_reduction(torch.as_tensor(self.get_buffer()), "mean")[0]


def probability_iou(background: bool, first: int = 1) -> IgniteMetricHandler:
    """Return the handler; the postprocessing keeps predictions in [0, 1] as ``probability``."""
    return IgniteMetricHandler(
        ProbabilityIoU(background, first), output_transform=from_engine(["probability", "label"])
    )


class MeanRecall(CumulativeIterationMetric):
    """Mean over images and classes, background included, of the share of a class's voxels that are found.

    Shapes:
        One-hot predictions and labels (B, 1 + K, *spatial); it gives (B, 1 + K), NaN for a class without voxels.

    >>> truth = torch.eye(2)[:, [0, 0, 0, 1]][None]
    >>> MeanRecall()(torch.eye(2)[:, [0, 0, 1, 1]][None], truth)
    tensor([[0.6667, 1.0000]])
    """

    def _compute_tensor(self, y_pred: Tensor, y: Tensor | None = None, **kwargs: Any) -> Tensor:
        assert y is not None
        predicted, true = (torch.as_tensor(part).as_subclass(Tensor).flatten(2) > 0.5 for part in (y_pred, y))
        return (predicted & true).sum(2) / true.sum(2)

    def aggregate(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return the mean over images of the mean over classes that are there."""
        return do_metric_reduction(torch.as_tensor(self.get_buffer()), "mean")[0]


def mean_recall() -> IgniteMetricHandler:
    """Return the handler of an evaluator."""
    return IgniteMetricHandler(MeanRecall(), output_transform=from_engine(["pred", "label"]))
