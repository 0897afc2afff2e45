"""The store: scans prepared once, each a memory-mapped array with its entry in a manifest."""

from monai_ssl.store.inspection import Inspection, inspect_store
from monai_ssl.store.intensity import (
    CTWindow,
    ImageRange,
    Intensity,
    MRPercentiles,
    default_intensity,
    intensity_from_dict,
)
from monai_ssl.store.layout import source_names
from monai_ssl.store.prepare import PrepareOptions, prepare
from monai_ssl.store.report import Report
from monai_ssl.store.scan import Scan
from monai_ssl.store.sheet import write_sheet
from monai_ssl.store.splits import Split, label_fractions, load_split, save_split, split_by_patient
from monai_ssl.store.store import Store

__all__ = [
    "CTWindow",
    "ImageRange",
    "Inspection",
    "Intensity",
    "MRPercentiles",
    "PrepareOptions",
    "Report",
    "Scan",
    "Split",
    "Store",
    "default_intensity",
    "inspect_store",
    "intensity_from_dict",
    "label_fractions",
    "load_split",
    "prepare",
    "save_split",
    "source_names",
    "split_by_patient",
    "write_sheet",
]
