"""Measures of representations."""

from monai_ssl.evaluation.probes import (
    cross_validated_linear_probe,
    knn_accuracy,
    leave_one_out_knn,
    linear_probe,
)
from monai_ssl.evaluation.spread import effective_rank, spread
from monai_ssl.evaluation.voxel_probe import voxel_probe

__all__ = [
    "cross_validated_linear_probe",
    "effective_rank",
    "knn_accuracy",
    "leave_one_out_knn",
    "linear_probe",
    "spread",
    "voxel_probe",
]
