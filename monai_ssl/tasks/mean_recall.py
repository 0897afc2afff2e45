"""Mean recall of a segmentation, the score of a probe: a small structure counts as much as the background."""

from __future__ import annotations

from typing import Any

import torch
from monai.handlers import IgniteMetricHandler, from_engine
from monai.metrics import CumulativeIterationMetric
from monai.metrics.utils import do_metric_reduction
from torch import Tensor


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
