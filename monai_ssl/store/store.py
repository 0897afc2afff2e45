"""Store: prepared scans as memory-mapped arrays, whose windows are read straight from the disk."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monai_ssl.store.body_box import Box
from monai_ssl.store.intensity import Intensity, default_intensity
from monai_ssl.store.layout import MANIFEST, array_path
from monai_ssl.store.manifest import read_manifest

Slices = tuple[slice | int, ...]

_OPEN_MAPS = 16
_maps: OrderedDict[Path, np.ndarray] = OrderedDict()


class Scan:
    """One scan of a store: (C, *spatial), axes in RAS order, read window by window.

    Indexing with a tuple of slices reads that window and returns float32 in [0, 1]; nothing else is read. A scan can
    be pickled and holds no file open.

    Args:
        store: folder of the store.
        record: the entry of the manifest.
        intensity: how stored values become [0, 1].
    """

    def __init__(self, store: Path, record: Mapping[str, Any], intensity: Intensity) -> None:
        self.key: str = record["key"]
        self.path = array_path(store, self.key)
        self.intensity = intensity
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
        return np.array(self._map()[slices])

    def __getitem__(self, slices: Slices | slice | int) -> np.ndarray:
        return self.intensity(self._map()[slices], self._record["statistics"])

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"Scan({self.key}, {self.modality}, shape={self.shape}, spacing={self.spacing})"

    def _map(self) -> np.ndarray:
        """Open the memory map; a few stay open, since opening costs more than reading a window."""
        array = _maps.get(self.path)
        if array is None:
            try:
                array = np.asarray(np.load(self.path, mmap_mode="r", allow_pickle=False))
                if array.shape != self.shape or array.dtype != self.dtype:
                    raise ValueError(f"it is {array.dtype} {array.shape}, not {self.dtype} {self.shape}")
            except Exception as error:  # NumPy parses the header as Python, and a damaged one breaks that in many ways
                raise ValueError(
                    f"Scan {self.key} of the store cannot be opened ({error}): run "
                    "`python -m monai_ssl prepare SRC STORE` again, which restores what is missing."
                ) from error
            _maps[self.path] = array
            while len(_maps) > _OPEN_MAPS:
                _maps.popitem(last=False)
        else:
            _maps.move_to_end(self.path)
        return array


class Store(Sequence[Scan]):
    """The scans of a folder written by ``python -m monai_ssl prepare``.

    Args:
        path: folder of the store.
        intensity: how stored values become [0, 1]: one preset for all scans, or one for each modality; modalities
            without one take :func:`default_intensity`.

    Raises:
        ValueError: when the folder is not a store, was written by another version of the format, or is damaged.
    """

    def __init__(self, path: str | Path, intensity: Intensity | Mapping[str, Intensity] | None = None) -> None:
        self.path = Path(path)
        if not self.is_store(self.path):
            raise ValueError(
                f"{self.path} is not a store (it has no {MANIFEST}): "
                f"make one with `python -m monai_ssl prepare SRC {self.path}`."
            )
        self.options, self._records = read_manifest(self.path)
        self._intensity = intensity

    @staticmethod
    def is_store(path: str | Path) -> bool:
        """Tell whether a folder is a store."""
        return (Path(path) / MANIFEST).is_file()

    @property
    def scans(self) -> list[Scan]:
        """All scans, by key."""
        return list(self)

    @property
    def patients(self) -> list[str]:
        """The pseudonyms, sorted, each once."""
        return sorted({record["patient"] for record in self._records})

    @property
    def fingerprint(self) -> str:
        """Identifies the content of the store: a hash of the keys of all scans."""
        return hashlib.sha256("\n".join(sorted(record["key"] for record in self._records)).encode()).hexdigest()[:16]

    def select(
        self,
        patients: Sequence[str] | None = None,
        modality: str | None = None,
        spatial_dims: int | None = None,
    ) -> list[Scan]:
        """Return the scans that fulfill all that is given.

        Args:
            patients: pseudonyms, such as a part of a split.
            modality: ``"ct"``, ``"mr"``, ``"xray"``, ``"us"``, ``"image"``.
            spatial_dims: 2 or 3.

        Raises:
            KeyError: when a patient is not in the store.
        """
        unknown = sorted(set(patients or ()) - set(self.patients))
        if unknown:
            raise KeyError(f"The store {self.path} has no patient {', '.join(unknown[:3])}: was the split made for it?")
        chosen = None if patients is None else set(patients)
        return [
            scan
            for scan in self
            if (chosen is None or scan.patient in chosen)
            and modality in (None, scan.modality)
            and spatial_dims in (None, scan.spatial_dims)
        ]

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self._scan(record) for record in self._records[index]]
        return self._scan(self._records[index])

    def __iter__(self) -> Iterator[Scan]:
        return map(self._scan, self._records)

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r}, {len(self)} scans of {len(self.patients)} patients)"

    def _scan(self, record: dict[str, Any]) -> Scan:
        return Scan(self.path, record, self._intensity_of(record["modality"]))

    def _intensity_of(self, modality: str) -> Intensity:
        if isinstance(self._intensity, Mapping):
            return self._intensity.get(modality) or default_intensity(modality)
        return self._intensity or default_intensity(modality)


__all__ = ["Scan", "Store"]
