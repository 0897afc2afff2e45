"""Store: the scans of a folder that `prepare` wrote, selected by a table that is mapped, not held."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monai_ssl.places import place_of
from monai_ssl.store.array_maps import ArrayFiles, LocalFiles
from monai_ssl.store.intensity import Intensity, default_intensity
from monai_ssl.store.layout import MANIFEST
from monai_ssl.store.records import Records
from monai_ssl.store.remote.opening import is_uploaded, open_uploaded
from monai_ssl.store.scan import Scan


class Store(Sequence[Scan]):
    """The scans of a folder written by ``python -m monai_ssl prepare``, or of an uploaded store.

    Args:
        path: folder of the store; folder or URL that ``python -m monai_ssl upload`` wrote to.
        intensity: how stored values become [0, 1]: one preset for all scans, or one for each modality; modalities
            without one take :func:`default_intensity`.

    Raises:
        ValueError: when the folder is not a store, was written by another version of the format, or is damaged.
    """

    def __init__(self, path: str | Path, intensity: Intensity | Mapping[str, Intensity] | None = None) -> None:
        self.place = place_of(path)
        if not self.is_store(self.place):
            raise ValueError(
                f"{self.place} is not a store (it has no {MANIFEST}): "
                f"make one with `python -m monai_ssl prepare SRC {self.place}`."
            )
        self.path, self.files = _opened(self.place)
        self._records = Records(self.path)
        self.options = self._records.options
        self._intensity = intensity

    @staticmethod
    def is_store(path: str | Path) -> bool:
        """Tell whether a folder is a store; a URL is taken for an uploaded one, and opening it tells."""
        return is_uploaded(place_of(path)) or (Path(path) / MANIFEST).is_file()

    @property
    def read_only(self) -> bool:
        """Whether it is an uploaded one."""
        return is_uploaded(self.place)

    @property
    def scans(self) -> list[Scan]:
        """All scans, by key."""
        return list(self)

    @property
    def patients(self) -> list[str]:
        """The pseudonyms, sorted, each once."""
        return [name.decode() for name in np.unique(self._records.patients)]

    @property
    def fingerprint(self) -> str:
        """Identifies the content of the store: a hash of the keys of all scans."""
        return hashlib.sha256(b"\n".join(np.sort(self._records.keys).tolist())).hexdigest()[:16]

    def select(
        self,
        patients: Sequence[str] | None = None,
        modality: str | None = None,
        spatial_dims: int | None = None,
        thicker_than: int = 0,
    ) -> Scans:
        """Return the scans that fulfill all that is given; none is read for it.

        Args:
            patients: pseudonyms, such as a part of a split.
            modality: ``"ct"``, ``"mr"``, ``"xray"``, ``"us"``, ``"image"``.
            spatial_dims: 2 or 3.
            thicker_than: voxels that the shortest side has more of.

        Raises:
            KeyError: when a patient is not in the store.
        """
        unknown = sorted(set(patients or ()) - set(self.patients))
        if unknown:
            raise KeyError(
                f"The store {self.place} has no patient {', '.join(unknown[:3])}: was the split made for it?"
            )
        rows = self._records.columns
        taken = rows["least"] > thicker_than
        if patients is not None:
            taken &= _among(rows["patient"], patients)
        if modality is not None:
            taken &= rows["modality"] == modality.encode()
        if spatial_dims is not None:
            taken &= rows["dims"] == spatial_dims
        return Scans(self, np.flatnonzero(taken))

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Scans(self, np.arange(len(self))[index])
        return self._scan(self._records[index])

    def __iter__(self) -> Iterator[Scan]:
        return map(self._scan, self._records)

    def columns(self, index: np.ndarray) -> np.ndarray:
        """Return ``key``, ``patient`` and ``modality`` (bytes) and more of the scans at some places, as a table."""
        return self._records.columns[index]

    def __repr__(self) -> str:
        return f"Store({str(self.place)!r}, {len(self)} scans of {len(self.patients)} patients)"

    def _scan(self, record: dict[str, Any]) -> Scan:
        return Scan(self.files, record, self.intensity_of(record["modality"]))

    def intensity_of(self, modality: str) -> Intensity:
        """Return how stored values of a modality become [0, 1]."""
        if isinstance(self._intensity, Mapping):
            return self._intensity.get(modality) or default_intensity(modality)
        return self._intensity or default_intensity(modality)


class Scans(Sequence[Scan]):
    """Some scans of a store: places in it, of which a scan is made when it is asked for.

    Args:
        store: that holds them.
        index: (N,) places.
    """

    def __init__(self, store: Store, index: np.ndarray) -> None:
        self.store, self.index_in_store = store, index

    @property
    def patients(self) -> list[str]:
        """The pseudonyms, sorted, each once."""
        return [name.decode() for name in np.unique(self._columns["patient"])]

    @property
    def keys(self) -> list[str]:
        """The keys, in order."""
        return [key.decode() for key in self._columns["key"]]

    @property
    def modalities(self) -> list[str]:
        """The modalities, sorted, each once."""
        return [name.decode() for name in np.unique(self._columns["modality"])]

    def first_keys(self) -> dict[str, str]:
        """Return the first key in sorted order of each patient's scans."""
        rows = np.sort(self._columns[["key", "patient"]], order="key")
        patients, first = np.unique(rows["patient"], return_index=True)
        return {name.decode(): rows["key"][i].decode() for name, i in zip(patients, first, strict=True)}

    def of_patients(self, patients: Iterable[str], *, others: bool = False) -> Scans:
        """Return the scans of some patients, or of all others."""
        named = _among(self._columns["patient"], patients)
        return Scans(self.store, self.index_in_store[named != others])

    @property
    def _columns(self) -> np.ndarray:
        return self.store.columns(self.index_in_store)

    def __len__(self) -> int:
        return len(self.index_in_store)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Scans(self.store, self.index_in_store[index])
        return self.store[int(self.index_in_store[index])]

    def __repr__(self) -> str:
        return f"{len(self)} scans of {self.store.place}"


def _opened(place: str | Path) -> tuple[Path, ArrayFiles]:
    """Return the folder of the manifest, and the files of the arrays."""
    if is_uploaded(place):
        return open_uploaded(place)
    return Path(place), LocalFiles(Path(place))


def _among(column: np.ndarray, names: Iterable[str]) -> np.ndarray:
    # as long as they are: cut to the width of the column one name could pass for another
    wanted = np.array([name.encode() for name in names], np.bytes_)
    return np.isin(column, wanted) if len(wanted) else np.zeros(len(column), bool)


__all__ = ["Scans", "Store"]
