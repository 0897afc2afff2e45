"""Ignite handlers that watch, record and steer the training of a method."""

from monai_ssl.handlers.checkpoint import Checkpoint
from monai_ssl.handlers.collapse import CollapseMonitor
from monai_ssl.handlers.export import Export
from monai_ssl.handlers.held_out import HeldOutLoss
from monai_ssl.handlers.learning_rate import LearningRate
from monai_ssl.handlers.pictures import Pictures
from monai_ssl.handlers.probe import Probe
from monai_ssl.handlers.progress import Progress
from monai_ssl.handlers.start_from import StartFrom
from monai_ssl.handlers.timing import DataWait
from monai_ssl.handlers.tracking import Tracking

__all__ = [
    "Checkpoint",
    "CollapseMonitor",
    "DataWait",
    "Export",
    "HeldOutLoss",
    "LearningRate",
    "Pictures",
    "Probe",
    "Progress",
    "StartFrom",
    "Tracking",
]
