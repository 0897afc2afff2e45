"""Scan: a prepared image as a memory-mapped or compressed array, whose windows are read straight from the disk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from monai_ssl.errors import ScanError
from monai_ssl.store.array_maps import ArrayFiles, array_map
from monai_ssl.store.body_box import Box
from monai_ssl.store.intensity import Intensity

Slices = tuple[slice | int, ...]


class Scan:
    """One scan of a store: (C, *spatial), axes in RAS order, read window by window.

    Indexing with a tuple of slices reads that window and returns float32 in [0, 1]; nothing else is read. A scan can
    be pickled and holds no file open.

    Args:
        files: of the arrays of its store.
        record: the entry of the manifest.
        intensity: how stored values become [0, 1].
    """

    def __init__(self, files: ArrayFiles, record: Mapping[str, Any], intensity: Intensity) -> None:
        self.key: str = record["key"]
        self.path = files.path(record)
        self.files = files
        self.intensity = intensity
        # pseudonyms of the visit and of its frame of coordinates; empty where nothing tells
        self.session = str(record.get("session", "")), str(record.get("frame", ""))
        self._record = record

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, *spatial)."""
        return tuple(self._record["shape"])

    @property
    def spatial_dims(self) -> int:
        return len(self._record["shape"]) - 1

    @property
    def dtype(self) -> np.dtype:
        """Of the stored values."""
        return np.dtype(self._record["dtype"])

    @property
    def spacing(self) -> tuple[float, ...]:
        """Millimeters of each spatial axis."""
        return tuple(self._record["spacing"])

    @property
    def affine(self) -> np.ndarray:
        """(4, 4), from voxel indices to RAS millimeters."""
        return np.asarray(self._record["affine"], np.float64)

    @property
    def modality(self) -> str:
        return str(self._record["modality"])

    @property
    def patient(self) -> str:
        """Pseudonym; the same for all scans of a patient in a store."""
        return str(self._record["patient"])

    @property
    def content(self) -> str:
        """Equal for equal voxels, whatever file they came from; empty in stores of version 0.1."""
        return str(self._record.get("content", ""))

    @property
    def look(self) -> str:
        """A perceptual hash, see :func:`monai_ssl.store.content.difference`; empty in stores of version 0.1."""
        return str(self._record.get("look", ""))

    @property
    def body_box(self) -> Box:
        """First voxel and one past the last voxel of the body, for each spatial axis."""
        lo, hi = self._record["body_box"]
        return tuple(lo), tuple(hi)

    @property
    def statistics(self) -> dict[str, float]:
        """Of the stored values of the whole scan; the names stand in :mod:`monai_ssl.store.statistics`."""
        return dict(self._record["statistics"])

    @property
    def notes(self) -> tuple[str, ...]:
        """What was noteworthy when the scan was prepared."""
        return tuple(self._record["notes"])

    def raw(self, slices: Slices | slice | int = ()) -> np.ndarray:
        """Return a copy of a window as stored (HU in CT)."""
        return np.array(self._window(slices))

    def __getitem__(self, slices: Slices | slice | int) -> np.ndarray:
        return self.intensity(self._window(slices), self._record["statistics"])

    def __len__(self) -> int:
        return self.shape[0]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scan) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    def __repr__(self) -> str:
        return f"Scan({self.key}, {self.modality}, shape={self.shape}, spacing={self.spacing})"

    def damage(self) -> str | None:
        """Say in what the array's file is not as it was prepared, by its size alone; ``None`` when it is."""
        return self.files.damage(self._record)

    @property
    def size(self) -> int:
        """Bytes of the array's file."""
        return int(self._record["bytes"])

    @property
    def compression(self) -> str | None:
        """``"blosc2"``, or ``None`` where the array lies uncompressed."""
        return self._record.get("compression")

    def _window(self, slices: Slices | slice | int) -> np.ndarray:
        """Return a window, as a view of the memory map where there is one.

        Raises:
            ScanError: when the array cannot be had or opened, its file was cut short, or it cannot be decoded.
        """
        try:
            array = array_map(self.path, self.shape, self.dtype, self.size, lambda: self.files.get(self._record))
            return array[slices]
        except FileNotFoundError as error:
            raise ScanError(self._problem(f"cannot be opened ({error})")) from error
        except (ValueError, RuntimeError) as error:
            raise ScanError(self._problem(str(error))) from error

    def _problem(self, problem: str) -> str:
        return f"Scan {self.key} of the store {problem}: {self.files.advice}, then continue with `--resume true`."


__all__ = ["Scan"]
