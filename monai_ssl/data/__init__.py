"""From any tree of scans to windows of them: discovery, the store, splits, intensities."""

from monai_ssl.data.intensity import (
    CTWindow,
    ImageRange,
    Intensity,
    MRPercentiles,
    default_intensity,
    intensity_from_dict,
)
from monai_ssl.data.prepare import PrepareOptions, prepare
from monai_ssl.data.report import Report
from monai_ssl.data.store import Scan, Store
from monai_ssl.data.volume import ReadError

__all__ = [
    "CTWindow",
    "ImageRange",
    "Intensity",
    "MRPercentiles",
    "PrepareOptions",
    "ReadError",
    "Report",
    "Scan",
    "Store",
    "default_intensity",
    "intensity_from_dict",
    "prepare",
]
