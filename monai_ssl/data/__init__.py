"""From any tree of scans to windows of them: discovery, the store, splits, intensities."""

from monai_ssl.data.inspection import Inspection, inspect_store
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
from monai_ssl.data.sheet import write_sheet
from monai_ssl.data.splits import Split, label_fractions, load_split, save_split, split_by_patient
from monai_ssl.data.store import Scan, Store
from monai_ssl.data.volume import ReadError, Volume
from monai_ssl.data.windows import WindowDataset, collate_views, endless_loader

__all__ = [
    "CTWindow",
    "ImageRange",
    "Inspection",
    "Intensity",
    "MRPercentiles",
    "PrepareOptions",
    "ReadError",
    "Report",
    "Scan",
    "Split",
    "Store",
    "Volume",
    "WindowDataset",
    "collate_views",
    "default_intensity",
    "endless_loader",
    "inspect_store",
    "intensity_from_dict",
    "label_fractions",
    "load_split",
    "prepare",
    "save_split",
    "split_by_patient",
    "write_sheet",
]
