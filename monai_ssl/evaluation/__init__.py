"""Measures of representations and of predictions, and what differences between them are worth."""

from monai_ssl.evaluation.label_saving import LabelSaving, cost_reduction, label_saving
from monai_ssl.evaluation.probes import (
    cross_validated_linear_probe,
    knn_accuracy,
    leave_one_out_knn,
    linear_probe,
)
from monai_ssl.evaluation.spread import effective_rank, spread
from monai_ssl.evaluation.statistics import PairedComparison, average_runs, bootstrap_interval, compare_paired, holm
from monai_ssl.evaluation.voxel_probe import voxel_probe

__all__ = [
    "LabelSaving",
    "PairedComparison",
    "average_runs",
    "bootstrap_interval",
    "compare_paired",
    "cost_reduction",
    "cross_validated_linear_probe",
    "effective_rank",
    "holm",
    "knn_accuracy",
    "label_saving",
    "leave_one_out_knn",
    "linear_probe",
    "spread",
    "voxel_probe",
]
