"""mIoU and mIoU+ as handlers of an evaluator: segmentation scores of probabilities, not of decisions."""

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

    Shapes:
        Probabilities and one-hot labels (B, 1 + K, *spatial), background first; it gives (B, K).

    >>> metric = ProbabilityIoU(background=False)
    >>> truth = torch.eye(2)[None]
    >>> metric(0.72 * truth, truth)
    tensor([[0.5000]])
    """

    def __init__(self, background: bool) -> None:
        super().__init__()
        self.background = background

    def _compute_tensor(self, y_pred: Tensor, y: Tensor | None = None, **kwargs: Any) -> Tensor:
        assert y is not None
        pairs = zip(y_pred, y, strict=True)
        return torch.stack([mean_iou(p[1:].as_subclass(Tensor), t[1:], background=self.background) for p, t in pairs])

    def aggregate(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return the mean over images of the mean over structures that have a score."""
        return do_metric_reduction(torch.as_tensor(self.get_buffer()), "mean")[0]


def probability_iou(background: bool) -> IgniteMetricHandler:
    """Return the handler; the postprocessing keeps softmaxed predictions as ``probability``."""
    return IgniteMetricHandler(ProbabilityIoU(background), output_transform=from_engine(["probability", "label"]))
