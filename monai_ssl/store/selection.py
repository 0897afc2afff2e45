"""Which sources to prepare: label maps are recognized and left out."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import PurePosixPath

import numpy as np

from monai_ssl.io.label_names import looks_like_labels

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
