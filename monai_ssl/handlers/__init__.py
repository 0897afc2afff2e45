"""Ignite handlers that watch, record and steer the training of a method."""

from monai_ssl.handlers.checkpoint import Checkpoint
from monai_ssl.handlers.collapse import CollapseMonitor
from monai_ssl.handlers.export import Export
from monai_ssl.handlers.frozen_parts import FrozenParts
from monai_ssl.handlers.held_out import HeldOutLoss
from monai_ssl.handlers.identical_views import IdenticalViews
from monai_ssl.handlers.learning_rate import LearningRate
from monai_ssl.handlers.missing_labels import MissingLabels
from monai_ssl.handlers.pictures import Pictures
from monai_ssl.handlers.probe import Probe
from monai_ssl.handlers.progress import Progress
from monai_ssl.handlers.repeated_samples import RepeatedSamples
from monai_ssl.handlers.start_from import StartFrom
from monai_ssl.handlers.target_statistics import TargetStatistics
from monai_ssl.handlers.timing import DataWait
from monai_ssl.handlers.tracking import Tracking
from monai_ssl.handlers.watch import Watch
from monai_ssl.handlers.zero_gradient import ZeroGradient

__all__ = [
    "Checkpoint",
    "CollapseMonitor",
    "DataWait",
    "Export",
    "FrozenParts",
    "HeldOutLoss",
    "IdenticalViews",
    "LearningRate",
    "MissingLabels",
    "Pictures",
    "Probe",
    "Progress",
    "RepeatedSamples",
    "StartFrom",
    "TargetStatistics",
    "Tracking",
    "Watch",
    "ZeroGradient",
]
