"""Names of the metrics that a study knows, and which direction is better."""

from __future__ import annotations

from typing import Any

METRICS: dict[str, dict[str, dict[str, Any]]] = {
    "segmentation": {
        "dice": {"_target_": "monai.handlers.MeanDice", "include_background": False},
        "iou": {"_target_": "monai.handlers.MeanIoUHandler", "include_background": False},
        "hd95": {"_target_": "monai.handlers.HausdorffDistance", "include_background": False, "percentile": 95.0},
    },
    "classification": {
        "auc": {"_target_": "monai.handlers.ROCAUC"},
        "accuracy": {"_target_": "monai.handlers.ROCAUC"},
    },
}
"""MONAI's handlers by task and name. Accuracy is computed beside the AUC by the bundle."""
_LOWER = {"hd95"}


def metric_direction(task: str, metric: str, key: str) -> bool:
    """Return whether more of ``metric`` is better.

    Raises:
        ValueError: when ``task`` has no such metric; ``key`` names the place.
    """
    if metric not in METRICS[task]:
        raise ValueError(f"`{key}` must be one of {', '.join(METRICS[task])} for {task}, got {metric!r}.")
    return metric not in _LOWER
