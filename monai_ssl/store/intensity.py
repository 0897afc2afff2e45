"""Intensity presets: CT window in HU, MR percentiles, X-ray, ultrasound to [0, 1]; recorded with the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

Statistics = Mapping[str, float]
"""Of a whole scan: ``min``, ``max``, ``mean``, ``std``, ``p0.5``, ``p1``, ``p50``, ``p99``, ``p99.5``, ..."""


@dataclass(frozen=True)
class CTWindow:
    """A window of Hounsfield units, mapped linearly to [0, 1] and clipped.

    The default keeps all that PCRL and its successors keep: -150 HU is 0.425.

    Args:
        low: HU that becomes 0.
        high: HU that becomes 1.

    Raises:
        ValueError: when ``low`` is not below ``high``.
    """

    low: float = -1000.0
    high: float = 1000.0
    kind: ClassVar[str] = "ct_window"

    def __post_init__(self) -> None:
        _check_order(self, self.low, self.high)

    def __call__(self, array: np.ndarray, statistics: Statistics | None = None) -> np.ndarray:
        """Return float32 in [0, 1] of the shape of ``array``."""
        del statistics
        return _rescale(array, self.low, self.high)

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True)
class MRPercentiles:
    """Percentiles of the whole scan, mapped linearly to [0, 1] and clipped; MR has no unit of its own.

    Args:
        low: percentile that becomes 0.
        high: percentile that becomes 1.

    Raises:
        ValueError: when ``low`` is not below ``high``, or either is outside [0, 100].
    """

    low: float = 0.5
    high: float = 99.5
    kind: ClassVar[str] = "mr_percentiles"

    def __post_init__(self) -> None:
        _check_order(self, self.low, self.high)
        if self.low < 0 or self.high > 100:
            raise ValueError(f"Percentiles must be in [0, 100], got `low`={self.low} and `high`={self.high}.")

    def __call__(self, array: np.ndarray, statistics: Statistics | None = None) -> np.ndarray:
        """Return float32 in [0, 1]; without ``statistics`` of the scan, ``array`` is taken for the whole scan."""
        low, high = (_percentile(array, statistics, q) for q in (self.low, self.high))
        if high <= low:
            # almost all voxels share one value: the full range still shows the rest
            low, high = _percentile(array, statistics, 0), _percentile(array, statistics, 100)
        return _rescale(array, low, high)

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True)
class ImageRange:
    """Radiographs and photographs: 8-bit images by their full range 0-255, deeper ones by percentiles of the image.

    Args:
        low: percentile of a deeper image that becomes 0.
        high: percentile of a deeper image that becomes 1.
    """

    low: float = 0.5
    high: float = 99.5
    kind: ClassVar[str] = "image_range"

    def __post_init__(self) -> None:
        MRPercentiles(self.low, self.high)

    def __call__(self, array: np.ndarray, statistics: Statistics | None = None) -> np.ndarray:
        """Return float32 in [0, 1] of the shape of ``array``."""
        if array.dtype == np.uint8:
            return _rescale(array, 0.0, 255.0)
        return MRPercentiles(self.low, self.high)(array, statistics)

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, **asdict(self)}


Intensity = CTWindow | MRPercentiles | ImageRange
_KINDS: dict[str, type[Intensity]] = {preset.kind: preset for preset in (CTWindow, MRPercentiles, ImageRange)}


def default_intensity(modality: str) -> Intensity:
    """Return the preset of a modality: HU window for ``"ct"``, percentiles for ``"mr"``, image range for the rest."""
    if modality == "ct":
        return CTWindow()
    return MRPercentiles() if modality == "mr" else ImageRange()


def scaled_otherwise(modality: str, trained_on: str) -> bool:
    """Whether images need another preset than what weights were trained on: CT and MR, the one under the other.

    A window in HU would make one gray of an MR, and percentiles another scale of each CT. What is neither, as a picture
    of unknown origin, is taken for what the weights saw.

    >>> scaled_otherwise("mr", "ct"), scaled_otherwise("image", "xray")
    (True, False)
    """
    return {modality, trained_on} == {"ct", "mr"}


def intensity_from_dict(record: Mapping[str, Any]) -> Intensity:
    """Rebuild a preset from its ``to_dict()``.

    Raises:
        ValueError: when ``record["kind"]`` names no preset.
    """
    values = dict(record)
    kind = values.pop("kind", None)
    if kind not in _KINDS:
        raise ValueError(f"Intensity preset `kind`={kind!r} is unknown; known are {sorted(_KINDS)}.")
    return _KINDS[kind](**values)


def _check_order(preset: object, low: float, high: float) -> None:
    if not low < high:
        raise ValueError(f"`low` of {type(preset).__name__} must be below `high`, got {low} and {high}.")


def _percentile(array: np.ndarray, statistics: Statistics | None, q: float) -> float:
    if statistics is None:
        return float(np.percentile(array, q))
    name = {0.0: "min", 100.0: "max"}.get(q, f"p{q:g}")
    if name not in statistics:
        known = sorted(float(key[1:]) for key in statistics if key[0] == "p")
        raise ValueError(f"Percentile {q:g} is not in the statistics of the store; use one of {known}, 0 or 100.")
    return float(statistics[name])


def _rescale(array: np.ndarray, low: float, high: float) -> np.ndarray:
    if high <= low:
        return np.zeros(array.shape, np.float32)
    out = np.subtract(array, np.float32(low), dtype=np.float32, casting="unsafe")
    # a true division: the upper end becomes exactly 1
    out /= np.float32(np.float32(high) - np.float32(low))
    return np.clip(out, 0.0, 1.0, out=out)


__all__ = ["CTWindow", "ImageRange", "Intensity", "MRPercentiles", "default_intensity", "intensity_from_dict"]
