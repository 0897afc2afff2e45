"""Volume: a decoded scan as every reader returns it, and ReadError."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class ReadError(ValueError):
    """A scan cannot be read: one sentence that names the file, what is wrong with it and what to do."""


class Grid(NamedTuple):
    """Where voxels lie.

    Args:
        shape: voxels along each of the 2 or 3 axes, as the file stores them.
        affine: (4, 4) from indices to millimeters in RAS.
        known: whether the file says so.
    """

    shape: tuple[int, ...]
    affine: NDArray[np.float64]
    known: bool = True


@dataclass(frozen=True)
class ReadOptions:
    """What a reader does where a file leaves a choice.

    Args:
        four_d: ``"refuse"`` a file of several volumes, or ``"split"`` it.
        missing_slices: ``"refuse"`` a DICOM series with gaps, or ``"fill"`` them by linear interpolation.

    Raises:
        ValueError: when one is none of these.
    """

    four_d: str = "refuse"
    missing_slices: str = "refuse"

    def __post_init__(self) -> None:
        for name, known in (("four_d", ("refuse", "split")), ("missing_slices", ("refuse", "fill"))):
            if getattr(self, name) not in known:
                raise ValueError(f"`{name}` must be one of {known}, got {getattr(self, name)!r}.")


@dataclass(frozen=True)
class Volume:
    """A decoded scan.

    Args:
        array: (C, X, Y, Z), or (C, X, Y) for pictures; values after rescaling (HU for CT); uint8, int16, uint16 where
            these hold them exactly, else float32.
        affine: (4, 4) float64, from indices of the array to millimeters in RAS; the axes are already in the order and
            direction closest to RAS. For pictures the spacing on the diagonal.
        spacing: millimeters per spatial axis.
        modality: ``"ct"``, ``"mr"``, ``"xray"``, ``"us"``, ``"rgb"``, ``"other"`` as the file says, else ``"unknown"``.
        patient: the PatientID of DICOM; private, never to be logged.
        notes: what a report should mention; free of patient identifiers.
        stored_affine: (4, 4), ``affine`` before the axes were moved, where the file has one.
    """

    array: NDArray[Any]
    affine: NDArray[np.float64]
    spacing: tuple[float, ...]
    modality: str
    patient: str | None
    notes: tuple[str, ...] = ()
    stored_affine: NDArray[np.float64] | None = None


@contextmanager
def reading(path: Path, task: str, remedy: str) -> Iterator[None]:
    """Turn whatever a decoder raises into a :class:`ReadError` about ``path``.

    Args:
        path: file or folder that is read.
        task: what is wrong when this fails, e.g. "the gzip data cannot be unpacked".
        remedy: what the person can do about it.
    """
    try:
        yield
    except ReadError:
        raise
    except MemoryError as error:
        raise ReadError(
            f"{path}: reading it takes more memory than there is; use fewer workers, or leave it out if its header is "
            "damaged and asks for an absurd size."
        ) from error
    except Exception as error:  # decoders raise anything, zlib.error and struct.error included
        lines = str(error).strip().splitlines()
        detail = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
        raise ReadError(f"{path}: {task} ({detail.rstrip('.')}); {remedy}.") from error


def compact(array: NDArray[Any]) -> NDArray[Any]:
    """Return the values in the smallest of uint8 (only if given), int16, uint16, float32 that holds them exactly.

    Values that need more than float32 are rounded to it.
    """
    if array.dtype in (np.uint8, np.int16, np.uint16):
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype == np.bool_:
        return array.astype(np.uint8)
    if array.size:
        # NaN fails both comparisons
        low, high = array.min(), array.max()
        for dtype in (np.int16, np.uint16):
            if low >= np.iinfo(dtype).min and high <= np.iinfo(dtype).max and _integral(array):
                return array.astype(dtype)
    # what overflows becomes infinite, which the report counts
    with np.errstate(over="ignore"):
        return array.astype(np.float32, copy=False)


def _integral(array: NDArray[Any]) -> bool:
    # by slices of the first axis: most arrays of fractions are told by the first one, and no large mask is made
    return array.dtype.kind in "iu" or all(np.array_equal(part, np.rint(part)) for part in array)
