"""From any tree of scans to windows of them: discovery, the store, splits, intensities."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
from monai_ssl.data.pretraining import PretrainingScans
from monai_ssl.data.report import Report
from monai_ssl.data.sheet import write_sheet
from monai_ssl.data.splits import Split, label_fractions, load_split, save_split, split_by_patient
from monai_ssl.data.store import Scan, Store
from monai_ssl.data.volume import ReadError, Volume
from monai_ssl.data.word_discovery import Described, WordOptions, discover_words
from monai_ssl.data.words import LocatedWord, Word, WordList

if TYPE_CHECKING:
    from monai_ssl.data.imbalance import (
        ImbalancedSubset,
        MeanResampler,
        class_sampler,
        imbalanced_subset,
        weighted_sampler,
    )
    from monai_ssl.data.labelled import LabelledImages
    from monai_ssl.data.visual_words import VisualWords
    from monai_ssl.data.windows import WindowDataset, collate_views, endless_loader

# these need torch and MONAI, which take seconds to import: too long for `prepare`, its workers and `inspect`
_IMPORTED_WHEN_USED = {
    "ImbalancedSubset": "imbalance",
    "LabelledImages": "labelled",
    "MeanResampler": "imbalance",
    "VisualWords": "visual_words",
    "WindowDataset": "windows",
    "class_sampler": "imbalance",
    "collate_views": "windows",
    "endless_loader": "windows",
    "imbalanced_subset": "imbalance",
    "weighted_sampler": "imbalance",
}

__all__ = [
    "CTWindow",
    "Described",
    "ImageRange",
    "ImbalancedSubset",
    "Inspection",
    "Intensity",
    "LabelledImages",
    "LocatedWord",
    "MRPercentiles",
    "MeanResampler",
    "PrepareOptions",
    "PretrainingScans",
    "ReadError",
    "Report",
    "Scan",
    "Split",
    "Store",
    "VisualWords",
    "Volume",
    "WindowDataset",
    "Word",
    "WordList",
    "WordOptions",
    "class_sampler",
    "collate_views",
    "default_intensity",
    "discover_words",
    "endless_loader",
    "imbalanced_subset",
    "inspect_store",
    "intensity_from_dict",
    "label_fractions",
    "load_split",
    "prepare",
    "save_split",
    "split_by_patient",
    "weighted_sampler",
    "write_sheet",
]


def __getattr__(name: str) -> Any:
    if name not in _IMPORTED_WHEN_USED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_IMPORTED_WHEN_USED[name]}"), name)
