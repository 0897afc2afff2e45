"""Datasets and loaders: windows for pre-training, lists of labeled cases for what follows."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from monai_ssl.data.pretraining import PretrainingScans
from monai_ssl.former_paths import moved_name

if TYPE_CHECKING:
    from monai_ssl.data.imbalance import (
        MeanResampler,
        WeightedResampler,
        class_sampler,
        imbalanced_subset,
    )
    from monai_ssl.data.labeled import LabeledImages
    from monai_ssl.data.unlabeled import unlabeled_cases
    from monai_ssl.data.windows import WindowDataset, collate_views, endless_loader

# these need torch and MONAI, which take seconds to import: too long for `prepare`, its workers and `inspect`
_IMPORTED_WHEN_USED = {
    "LabeledImages": "labeled",
    "PretrainingVisits": "visits",
    "Visit": "visits",
    "Visits": "visits",
    "MeanResampler": "imbalance",
    "WeightedResampler": "imbalance",
    "WindowDataset": "windows",
    "class_sampler": "imbalance",
    "collate_views": "windows",
    "endless_loader": "windows",
    "imbalanced_subset": "imbalance",
    "unlabeled_cases": "unlabeled",
}

__all__ = [
    "LabeledImages",
    "MeanResampler",
    "PretrainingScans",
    "PretrainingVisits",
    "Visit",
    "Visits",
    "WeightedResampler",
    "WindowDataset",
    "class_sampler",
    "collate_views",
    "endless_loader",
    "imbalanced_subset",
    "unlabeled_cases",
]


def __getattr__(name: str) -> Any:
    if name not in _IMPORTED_WHEN_USED:
        return moved_name(name)
    return getattr(import_module(f"{__name__}.{_IMPORTED_WHEN_USED[name]}"), name)
