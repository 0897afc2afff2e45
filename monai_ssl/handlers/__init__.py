"""Ignite handlers that watch, record and steer the training of a method."""

from monai_ssl.handlers.learning_rate import LearningRate
from monai_ssl.handlers.progress import Progress
from monai_ssl.handlers.tracking import Tracking

__all__ = ["LearningRate", "Progress", "Tracking"]
