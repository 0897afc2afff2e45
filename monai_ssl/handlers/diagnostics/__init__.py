"""Sanity checks of a training run: each warns once and never stops the run."""

from monai_ssl.handlers.diagnostics.all import Diagnostics
from monai_ssl.handlers.diagnostics.base import Diagnostic
from monai_ssl.handlers.diagnostics.collapse import CollapseMonitor
from monai_ssl.handlers.diagnostics.data_wait import DataWait
from monai_ssl.handlers.diagnostics.frozen_parts import FrozenParts
from monai_ssl.handlers.diagnostics.identical_views import IdenticalViews
from monai_ssl.handlers.diagnostics.missing_labels import MissingLabels
from monai_ssl.handlers.diagnostics.repeated_samples import RepeatedSamples
from monai_ssl.handlers.diagnostics.validation_time import ValidationTime
from monai_ssl.handlers.diagnostics.zero_gradient import ZeroGradient

__all__ = [
    "CollapseMonitor",
    "DataWait",
    "Diagnostic",
    "Diagnostics",
    "FrozenParts",
    "IdenticalViews",
    "MissingLabels",
    "RepeatedSamples",
    "ValidationTime",
    "ZeroGradient",
]
