"""Stack DICOM slices into a volume by position and orientation: gaps, duplicates, gantry tilt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monai_ssl.io.dicom.frames import Frame
from monai_ssl.io.dicom.pixels import AIR, fill_padding
from monai_ssl.io.geometry import LPS_TO_RAS, unshear
from monai_ssl.io.volume import ReadError, compact

SAME_POSITION = 0.01
"""Millimeters; closer slices are of one position."""

JITTER = (0.01, 0.1)
"""Share of the slice distance, and millimeters, by which a distance may deviate: the larger one counts."""

DRIFT = 0.25
"""Pixels by which the last slice may lie off the normal through the first one before it counts as tilt."""


def stack(
    frames: Sequence[Frame], place: Path, missing_slices: str, is_ct: bool
) -> tuple[NDArray[Any], NDArray[np.float64], list[str]]:
    """Return the array (X, Y, Z), its affine to RAS, axes as acquired, and notes for the report.

    Args:
        frames: at least one, in any order.
        place: what messages name.
        missing_slices: ``"refuse"`` or ``"fill"``, by linear interpolation.
        is_ct: whether the space that a tilted stack leaves empty is air.

    Raises:
        ReadError: when the slices are not those of one regular stack.
    """
    _check_alike(frames, place)
    notes = list(dict.fromkeys(note for frame in frames for note in frame.notes))
    heights = np.array([frame.position @ frames[0].normal for frame in frames])
    order = np.argsort(heights, kind="stable")
    kept = _without_copies([frames[i] for i in order], heights[order], place, notes)
    heights = np.array([frame.position @ kept[0].normal for frame in kept])
    slots, step = np.zeros(1), kept[0].thickness or 1.0
    if len(kept) > 1:
        slots, step = regular_slots(heights, place, fill=missing_slices == "fill")
    volume, origin = _straighten(_decode(kept, is_ct).transpose(2, 1, 0), kept, heights, place, is_ct, notes)
    if not np.array_equal(slots, np.arange(len(kept))):
        between = np.count_nonzero(slots != np.rint(slots))
        notes.append(f"{between} of {len(slots)} slices were interpolated between their neighbors, {step:.3g} mm apart")
        volume = _interpolate(volume, slots)
    rows, columns = kept[0].spacing
    affine = np.eye(4)
    affine[:3, :3] = np.stack([*kept[0].axes, kept[0].normal], axis=1) * [columns, rows, step]
    affine[:3, 3] = origin
    return compact(volume), LPS_TO_RAS @ affine, notes


def _check_alike(frames: Sequence[Frame], place: Path) -> None:
    first = frames[0]
    for frame in frames[1:]:
        if frame.shape != first.shape:
            sizes = " and ".join(f"{rows} x {columns}" for rows, columns in sorted({first.shape, frame.shape}))
            raise ReadError(f"{place}: the slices differ in size ({sizes}); keep those of one scan in the folder.")
        if not np.allclose(frame.axes, first.axes, atol=2e-3):
            raise ReadError(f"{place}: the slices differ in orientation; keep those of one scan in the folder.")
        if not np.allclose(frame.spacing, first.spacing, rtol=1e-3):
            raise ReadError(f"{place}: the slices differ in pixel spacing; keep those of one scan in the folder.")


def _without_copies(
    frames: Sequence[Frame], heights: NDArray[np.float64], place: Path, notes: list[str]
) -> list[Frame]:
    """Drop images that repeat the one before them; ``frames`` are sorted by ``heights``."""
    kept = [frames[0]]
    for frame, height, step in zip(frames[1:], heights[1:], np.diff(heights), strict=True):
        if step > SAME_POSITION:
            kept.append(frame)
        elif not np.array_equal(frame.pixels(), kept[-1].pixels()):
            raise ReadError(
                f"{place}: different images lie at the same position ({height:.2f} mm along the slice axis) and no "
                "tag tells them apart; keep those of one scan in the folder."
            )
    if len(kept) < len(frames):
        notes.append(f"{len(frames) - len(kept)} repeated slices were dropped")
    return kept


def _decode(frames: Sequence[Frame], is_ct: bool) -> NDArray[Any]:
    """Return (slices, rows, columns)."""
    dtype = np.result_type(*{frame.dtype for frame in frames})
    array = np.empty((len(frames), *frames[0].shape), np.float32 if dtype.kind == "f" else dtype)
    padded = None
    for k, frame in enumerate(frames):
        plane = frame.pixels()
        array[k] = np.ma.getdata(plane)
        if isinstance(plane, np.ma.MaskedArray):
            padded = np.zeros(array.shape, bool) if padded is None else padded
            padded[k] = plane.mask
    return array if padded is None else fill_padding(array, padded, is_ct)


def _straighten(
    volume: NDArray[Any],
    frames: Sequence[Frame],
    heights: NDArray[np.float64],
    place: Path,
    is_ct: bool,
    notes: list[str],
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Undo the tilt of a gantry; returns the volume (X, Y, Z) and the position of its first voxel in LPS."""
    first = frames[0]
    across = np.array([frame.position - first.position for frame in frames]) @ first.axes.T
    pixel = np.array(first.spacing[::-1])
    if np.abs(across / pixel).max() <= DRIFT:
        return volume, first.position
    above = (heights - heights[0])[:, None]
    slope = np.linalg.lstsq(above, across, rcond=None)[0]
    if np.abs((across - above * slope) / pixel).max() > 1:
        raise ReadError(
            f"{place}: the slices do not lie behind one another, they shift to and fro within their plane; keep those "
            "of one scan in the folder."
        )
    volume, before = unshear(volume, across / pixel, AIR if is_ct else float(volume.min()))
    notes.append(f"a gantry tilt of {np.degrees(np.arctan(np.linalg.norm(slope))):.1f} degrees was resampled away")
    return volume, first.position - (before * pixel) @ first.axes


class Grid(NamedTuple):
    """The regular stack that heights come closest to.

    Args:
        size: number of slots, empty ones too.
        distance: millimeters between slots.
        slack: millimeters by which a slice may lie off its slot.
        uneven: whether one lies off more.
    """

    size: int
    distance: float
    slack: float
    uneven: bool


def grid_of(heights: NDArray[np.float64]) -> Grid:
    """Return the grid on which slices lie.

    Args:
        heights: (n,) millimeters, increasing, at least two.
    """
    gaps = np.diff(heights)
    single = np.median(gaps[np.rint(gaps / gaps.min()) == 1])
    steps = np.maximum(np.rint(gaps / single), 1)
    distance = float(gaps.sum() / steps.sum())
    slack = max(JITTER[0] * distance, JITTER[1])
    off = heights[1:] - heights[0] - distance * np.cumsum(steps)
    uneven = bool(np.abs(gaps - steps * distance).max() > slack or np.abs(off).max() > distance / 2)
    return Grid(int(steps.sum()) + 1, distance, slack, uneven)


def regular_slots(heights: NDArray[np.float64], place: Path, fill: bool) -> tuple[NDArray[np.float64], float]:
    """Return where the slices of a regular stack lie among those at hand, and their distance.

    Args:
        heights: (n,) millimeters, increasing.
        place: what messages name.
        fill: whether slots between slices are allowed.

    Returns:
        Indices (m,) into ``heights``, whole where a slice is at hand; and the distance in millimeters.

    Raises:
        ReadError: when slices are missing or unevenly spaced and ``fill`` is off, or most would be made up.
    """
    gaps = np.diff(heights)
    count, distance, slack, uneven = grid_of(heights)
    if not uneven and count == len(heights):
        return np.arange(count, dtype=float), distance
    remedy = "restore the files, or interpolate with `--missing-slices fill`"
    if not fill and uneven:
        raise ReadError(
            f"{place}: the distance of slices varies from {gaps.min():.3g} to {gaps.max():.3g} mm; {remedy}."
        )
    if not fill:
        raise ReadError(
            f"{place}: {count - len(heights)} of {count} slices are missing, the largest gap is {gaps.max():.3g} mm "
            f"where slices are {distance:.3g} mm apart; {remedy}."
        )
    if uneven:
        count = round(float(gaps.sum() / np.median(gaps))) + 1
        distance = float(gaps.sum() / (count - 1))
    if count > 2 * len(heights):
        raise ReadError(
            f"{place}: {count - len(heights)} of {count} slices are missing, too many to make up; restore the files."
        )
    even = heights[0] + distance * np.arange(count)
    slots = np.interp(even, heights, np.arange(len(heights)))
    nearest = np.rint(slots)
    at_hand = np.abs(heights[nearest.astype(int)] - even) <= min(slack, distance / 2)
    return np.where(at_hand, nearest, slots), distance


def _interpolate(volume: NDArray[Any], slots: NDArray[np.float64]) -> NDArray[Any]:
    """Return (X, Y, len(slots)); whole slots are copied."""
    out = np.empty((*volume.shape[:2], len(slots)), volume.dtype)
    for k, slot in enumerate(slots):
        below = int(slot)
        part = np.float32(slot - below)
        if part == 0:
            out[..., k] = volume[..., below]
        else:
            plane = (1 - part) * volume[..., below].astype(np.float32) + part * volume[..., below + 1]
            out[..., k] = np.rint(plane) if volume.dtype.kind in "iu" else plane
    return out
