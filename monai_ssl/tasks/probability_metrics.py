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
