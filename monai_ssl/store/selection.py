"""Which sources to prepare: label maps must not be pre-trained on by accident."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import PurePosixPath

import numpy as np

_WORD = "seg|segs|segmentation|segmentations|label|labels|labelmap|mask|masks|oar|oars|roi|rois|gt|annotation"
_LABEL_STEM = re.compile(rf"(^|[-_. ])({_WORD})[-_ ]?\d*$", re.IGNORECASE)
_LABEL_FOLDER = re.compile(r"(labels(tr|ts|val)?|masks|segmentations?|annotations)", re.IGNORECASE)
_MAX_LABELS = 64


def refusal(name: str, include: Sequence[str], exclude: Sequence[str]) -> str | None:
    """Return why a source is left out, judged by its name, or ``None``.

    Args:
        name: path relative to the root.
        include: patterns; if any is given, only what matches one is prepared, even if it looks like a label map.
        exclude: patterns of what to leave out.
    """
    if _matches(name, exclude):
        return "left out by --exclude"
    if include:
        return None if _matches(name, include) else "not named by --include"
    if looks_like_labels(name):
        return "looks like a label map by its name; --include GLOB prepares it nevertheless"
    return None


def looks_like_labels(name: str) -> bool:
    """Tell whether a file or folder is named like a label map: ``pt_1_oar.nii.gz``, ``labelsTr/a.nii``."""
    path = PurePosixPath(name.split("#")[0])
    stem = re.sub(
        r"(\.(nii|gz|nrrd|nhdr|mha|mhd|img|hdr|png|jpe?g|dcm|dicom|ima))+$", "", path.name, flags=re.IGNORECASE
    )
    return bool(_LABEL_STEM.search(stem)) or any(_LABEL_FOLDER.fullmatch(part) for part in path.parts[:-1])


def holds_labels(array: np.ndarray) -> bool:
    """Tell whether the values look like labels: few, whole, none negative. (C, *spatial) of an image is not such."""
    if array.dtype.kind not in "iu":
        return False
    # most images are told by a few slices, which spares the look at all of them
    if len(np.unique(array[..., :: max(1, array.shape[-1] // 4)])) > _MAX_LABELS:
        return False
    values = np.unique(array)
    return 1 < len(values) <= _MAX_LABELS and bool(values[0] >= 0)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(name, pattern) or fnmatch(PurePosixPath(name).name, pattern) for pattern in patterns)


__all__ = ["holds_labels", "looks_like_labels", "refusal"]
