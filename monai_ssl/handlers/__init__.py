"""Ignite handlers that watch, record and steer the training of a method."""

from monai_ssl.handlers.checkpoint import Checkpoint
from monai_ssl.handlers.diagnostics import (
    CollapseMonitor,
    DataWait,
    Diagnostic,
    Diagnostics,
    FrozenParts,
    IdenticalViews,
    MissingLabels,
    RepeatedSamples,
    ZeroGradient,
)
from monai_ssl.handlers.export import Export
from monai_ssl.handlers.learning_rate import LearningRate
from monai_ssl.handlers.pictures import Pictures
from monai_ssl.handlers.probe import Probe
from monai_ssl.handlers.progress import Progress
from monai_ssl.handlers.publication import Publication
from monai_ssl.handlers.run_folder import RunFolder
from monai_ssl.handlers.start_from import StartFrom
from monai_ssl.handlers.target_statistics import TargetStatistics
from monai_ssl.handlers.tracking import Tracking
from monai_ssl.handlers.training_length import TrainingLength
from monai_ssl.handlers.validation_loss import ValidationLoss
from monai_ssl.handlers.weight_decay import WeightDecay

__all__ = [
    "Checkpoint",
    "CollapseMonitor",
    "DataWait",
    "Diagnostic",
    "Diagnostics",
    "Export",
    "FrozenParts",
    "IdenticalViews",
    "LearningRate",
    "MissingLabels",
    "Pictures",
    "Probe",
    "Publication",
    "Progress",
    "RepeatedSamples",
    "RunFolder",
    "StartFrom",
    "TargetStatistics",
    "Tracking",
    "TrainingLength",
    "ValidationLoss",
    "WeightDecay",
    "ZeroGradient",
]
