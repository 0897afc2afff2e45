"""Downstream tasks: one file a task, and what their bundles share."""

from monai_ssl.tasks.augmentation import AUGMENTATION_LEVELS, AugmentationLevel, augmentations
from monai_ssl.tasks.base import Metric, Scores, Task
from monai_ssl.tasks.checkpoint import FinetuneCheckpoint
from monai_ssl.tasks.classification import Classification
from monai_ssl.tasks.data_check import check_data
from monai_ssl.tasks.description import DescribedModel, DescribeModel
from monai_ssl.tasks.evaluation_report import EvaluationReport
from monai_ssl.tasks.labels import DecodeLabelsd, EncodeLabelsd
from monai_ssl.tasks.linear_probe import LinearProbe
from monai_ssl.tasks.networks import normalization
from monai_ssl.tasks.regions import DecodeRegionsd, EncodeRegionsd
from monai_ssl.tasks.regression import Regression
from monai_ssl.tasks.segmentation import Segmentation
from monai_ssl.tasks.training import KeepBest, Validated, distributed, loader, seed_ranks
from monai_ssl.tasks.whole_image import ResizeToLabeld

__all__ = [
    "AUGMENTATION_LEVELS",
    "AugmentationLevel",
    "Classification",
    "DecodeLabelsd",
    "DecodeRegionsd",
    "DescribeModel",
    "DescribedModel",
    "EncodeLabelsd",
    "EncodeRegionsd",
    "EvaluationReport",
    "FinetuneCheckpoint",
    "KeepBest",
    "LinearProbe",
    "Metric",
    "Regression",
    "ResizeToLabeld",
    "Scores",
    "Segmentation",
    "Task",
    "Validated",
    "augmentations",
    "check_data",
    "distributed",
    "loader",
    "normalization",
    "seed_ranks",
]
