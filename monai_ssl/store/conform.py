"""Conform a decoded volume to the store: data type, orientation, spacing, modality, statistics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from monai_ssl.io.volume import ReadError, Volume
from monai_ssl.store.body_box import body_box, foreground_threshold
from monai_ssl.store.resample import resample
from monai_ssl.store.statistics import clipped, ends, intensity_statistics

HU_RANGE = (-1024, 3071)
"""What 12-bit CT states; lower values are padding, higher ones metal."""
MAX_REPLACED = 0.01
"""Fraction of voxels that may be NaN or infinite."""

_AIR_BELOW, _LEAST_AIR, _BONE_BELOW = -700, 0.0005, 2000
"""HU, share of the voxels, HU; the last of 95 % of the voxels."""
_SAMPLE = 1 << 20
"""Voxels that intensities are judged by, about."""


def conform(
    volume: Volume, modality: str, spacing: Sequence[float] | None, counts: np.ndarray | None = None
) -> tuple[np.ndarray, dict[str, Any]]:
    """Return the array to store, and its entry of the manifest but for key and patient.

    Args:
        volume: as decoded.
        modality: ``"auto"`` or what the user says it is.
        spacing: millimeters per spatial axis to resample 3-D scans to; ``None`` keeps the scanner's.
        counts: the histogram of the volume's integers, where it is known.

    Raises:
        ReadError: when the intensities cannot be trained on.
    """
    notes = list(volume.notes)
    array = _finite(volume.array, notes)
    low, high = ends(array, counts)
    if low == high:
        raise ReadError(f"all voxels have the value {low:g}: there is nothing to learn; remove the file")
    modality, basis = decide_modality(array, volume.modality, modality)
    if modality == "ct":
        array = _hounsfield(array, low, high, notes)
        counts = None if counts is None else clipped(counts, *HU_RANGE)
    affine, current = volume.affine, volume.spacing
    if spacing is not None and array.ndim == 4:
        array, affine = resample(array, affine, current, spacing)
        counts = None
        current = tuple(float(s) for s in spacing)
        if modality == "ct":
            array = np.rint(array, out=array).astype(np.int16)
    above = foreground_threshold(array, modality)
    record = {
        "modality": modality,
        "modality_from": basis,
        "shape": list(array.shape),
        "dtype": array.dtype.name,
        "spacing": [float(s) for s in current],
        "affine": np.asarray(affine, np.float64).tolist(),
        "body_box": [list(corner) for corner in body_box(array, above)],
        "statistics": intensity_statistics(array, above, counts),
        "notes": notes,
    }
    return array, record


def decide_modality(array: np.ndarray, known: str, wanted: str) -> tuple[str, str]:
    """Return the modality and how it was found out: ``"option"``, ``"file"`` or ``"values"``.

    Values with air at -1000 and hardly anything above dense bone are taken for HU, whole or resampled; phase images of
    MR reach as far both ways. A 2-D picture of unknown origin is an ``"image"``.
    """
    if wanted != "auto":
        return wanted, "option"
    if known in ("ct", "mr", "xray", "us"):
        return known, "file"
    if array.ndim == 3:
        return "image", "values"
    return ("ct" if _holds_hounsfield(array) else "mr"), "values"


def finite_sample(array: np.ndarray) -> np.ndarray:
    """Return about a million voxels at most, evenly spread over an array, that are finite."""
    some = array.ravel()[:: max(1, array.size // _SAMPLE)]
    return some[np.isfinite(some)]


def _holds_hounsfield(array: np.ndarray) -> bool:
    some = finite_sample(array)
    if not some.size or some.min() > -900:
        return False
    return bool((some <= _AIR_BELOW).mean() >= _LEAST_AIR and np.quantile(some, 0.95) <= _BONE_BELOW)


def _finite(array: np.ndarray, notes: list[str]) -> np.ndarray:
    if array.dtype.kind != "f":
        return array
    good = np.isfinite(array)
    bad = array.size - int(np.count_nonzero(good))
    if not bad:
        return array
    if bad > MAX_REPLACED * array.size:
        raise ReadError(
            f"{bad / array.size:.1%} of the voxels are NaN or infinite (at most {MAX_REPLACED:.0%} are replaced); "
            "export the scan again"
        )
    notes.append(f"{bad} voxels that were NaN or infinite were set to the minimum")
    return np.where(good, array, array[good].min())


def _hounsfield(array: np.ndarray, low: float, high: float, notes: list[str]) -> np.ndarray:
    if high - low < 100:
        raise ReadError(
            f"the values from {low:g} to {high:g} cannot be HU: give the CT before it was normalized, "
            "or say --modality mr, which scales each scan by its percentiles"
        )
    if low >= 0:
        notes.append("no value below 0 HU: perhaps stored without its offset of -1024")
    if array.dtype == np.int16:
        return array if HU_RANGE[0] <= low and high <= HU_RANGE[1] else array.clip(*HU_RANGE)
    return np.rint(array.clip(*HU_RANGE)).astype(np.int16)


__all__ = ["HU_RANGE", "MAX_REPLACED", "conform", "decide_modality"]
