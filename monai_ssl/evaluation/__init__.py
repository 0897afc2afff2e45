"""Measures of representations and of predictions, and what differences between them are worth."""

from monai_ssl.evaluation.auc_pseudo_values import auc_pseudo_values
from monai_ssl.evaluation.bn_statistics import (
    BNDistance,
    bn_distance,
    encoder_statistics,
    recollect_bn,
)
from monai_ssl.evaluation.cam import energy_in_mask, grad_cam, pointing_hit
from monai_ssl.evaluation.cka import CKA, encoder_cka
from monai_ssl.evaluation.embedding import principal_components, tsne
from monai_ssl.evaluation.groups import GroupGain, gains_by_group, hard_and_easy, hard_easy_gains
from monai_ssl.evaluation.information_probes import position_probe, rotation_probe
from monai_ssl.evaluation.label_saving import LabelSaving, cost_reduction, label_saving
from monai_ssl.evaluation.localization import heat_boxes, localization_scores
from monai_ssl.evaluation.mean_iou import mean_iou
from monai_ssl.evaluation.probes import (
    cross_validated_linear_probe,
    knn_accuracy,
    leave_one_out_knn,
    linear_probe,
)
from monai_ssl.evaluation.runs_and_cases import compare_runs_and_cases
from monai_ssl.evaluation.spread import effective_rank, spread
from monai_ssl.evaluation.statistics import PairedComparison, average_runs, bootstrap_interval, compare_paired, holm
from monai_ssl.evaluation.voxel_probe import voxel_probe

__all__ = [
    "BNDistance",
    "CKA",
    "GroupGain",
    "LabelSaving",
    "PairedComparison",
    "auc_pseudo_values",
    "average_runs",
    "bn_distance",
    "bootstrap_interval",
    "compare_paired",
    "compare_runs_and_cases",
    "cost_reduction",
    "cross_validated_linear_probe",
    "effective_rank",
    "encoder_cka",
    "encoder_statistics",
    "energy_in_mask",
    "gains_by_group",
    "grad_cam",
    "hard_and_easy",
    "hard_easy_gains",
    "heat_boxes",
    "holm",
    "knn_accuracy",
    "label_saving",
    "leave_one_out_knn",
    "linear_probe",
    "localization_scores",
    "mean_iou",
    "pointing_hit",
    "position_probe",
    "principal_components",
    "recollect_bn",
    "rotation_probe",
    "spread",
    "tsne",
    "voxel_probe",
]
