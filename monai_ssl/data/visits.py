"""Visits: co-registered scans of one session, such as the contrasts of an MR examination, read at one place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from monai_ssl.data.pretraining import PretrainingScans
from monai_ssl.store.scan import Scan
from monai_ssl.store.store import Scans

_TURNED = 1e-2
"""Voxels by which the axes of two grids may part over the length of a scan."""


class Visit:
    """Scans of one session in one frame of coordinates whose grids have the same axes, perhaps with other voxels.

    It can stand where a scan is asked for, which is then the first one.

    Args:
        scans: two or more, as :class:`Visits` groups them.
    """

    def __init__(self, scans: Sequence[Scan]) -> None:
        self.scans = tuple(scans)
        first = self.scans[0]
        self.key, self.shape, self.body_box = first.key, first.shape, first.body_box
        self._maps = [between for scan in self.scans if (between := grid_map(first, scan)) is not None]

    def box(self, number: int, start: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return start and size of a box of the first scan in voxels of scan ``number``, cut at its border.

        Args:
            number: of the scan in the visit.
            start: first voxel (D,) in the first scan.
            size: in voxels (D,) of the first scan.
        """
        scale, shift = self._maps[number]
        # edges lie half a voxel beside the centers that indices count
        low, high = (scale * (edge - 0.5) + shift + 0.5 for edge in (start, start + size))
        shape = np.array(self.scans[number].shape[1:])
        begin = np.clip(np.rint(low), 0, shape - 1).astype(np.int64)
        return begin, np.maximum(np.clip(np.rint(high), 0, shape).astype(np.int64) - begin, 1)

    def __getitem__(self, slices: Any) -> np.ndarray:
        return self.scans[0][slices]

    def __len__(self) -> int:
        return len(self.scans[0])


class Visits(Sequence[Visit]):
    """The visits among some scans of a store, in the order of their first keys; scans without company are left out.

    Args:
        scans: to group.
    """

    def __init__(self, scans: Scans) -> None:
        self.scans = scans
        frames: dict[tuple[tuple[str, str], int], list[int]] = defaultdict(list)
        for place, scan in enumerate(scans):
            if all(scan.session):
                frames[scan.session, scan.spatial_dims].append(place)
        self._groups = [group for members in frames.values() for group in _one_grid(scans, members) if len(group) > 1]
        self._groups.sort()

    def __len__(self) -> int:
        return len(self._groups)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return Visit([self.scans[place] for place in self._groups[index]])


class PretrainingVisits:
    """Visits for pre-training, and those of some patients for the validation loss.

    Args:
        scans: to group into visits.

    Raises:
        ValueError: when no session has two scans.

    >>> import tempfile, nibabel as nib
    >>> from pathlib import Path
    >>> from monai_ssl.store import PrepareOptions, prepare
    >>> folder = Path(tempfile.mkdtemp())
    >>> for contrast in ("T1w", "FLAIR"):
    ...     values = np.random.default_rng(len(contrast)).normal(100, 20, (16, 16, 16)).astype(np.float32)
    ...     nib.save(nib.Nifti1Image(values, np.eye(4)), folder / f"sub-1_ses-1_{contrast}.nii")
    >>> _ = prepare(folder, folder / "store", PrepareOptions(modality="mr", workers=0))
    >>> visits = PretrainingVisits(PretrainingScans(folder / "store", folder, 3))
    >>> [len(visit.scans) for visit in visits.train]
    [2]
    """

    def __init__(self, scans: PretrainingScans) -> None:
        self.scans = scans
        self.train, self.validation = Visits(scans.train), Visits(scans.validation)
        if not self.train:
            raise ValueError(
                "No session has two co-registered scans of other contrasts: sessions are known by DICOM's study and "
                "frame of reference, by the names of BIDS (`sub-1_ses-1_T1w`, `sub-1_ses-1_FLAIR`), and as volumes of "
                "a 4-D file (`prepare --four-d split`). Of a store that was prepared before, prepare the source again."
            )

    def facts(self) -> dict[str, Any]:
        """What the model card says of the data."""
        used = sum(len(visit.scans) for visit in self.train)
        return {**self.scans.facts(), "scans": used}


def grid_map(first: Scan, other: Scan) -> tuple[np.ndarray, np.ndarray] | None:
    """Return scale and shift (D,) from indices of one grid to those of another; ``None`` where their axes differ."""
    dims = first.spatial_dims
    between = np.linalg.inv(other.affine) @ first.affine
    linear, shift = between[:dims, :dims], between[:dims, 3]
    scale = np.diagonal(linear)
    aside = np.abs(linear - np.diag(scale)) @ np.array(first.shape[1:])
    return None if (aside > _TURNED).any() or (scale <= 0).any() else (scale, shift)


def _one_grid(scans: Scans, members: Sequence[int]) -> Iterator[list[int]]:
    """Yield the members by the axes of their grids, in the order of their keys."""
    left = sorted(members, key=lambda place: scans[place].key)
    while left:
        first = scans[left[0]]
        same = [place for place in left if grid_map(first, scans[place]) is not None]
        yield same
        left = [place for place in left if place not in same]


__all__ = ["PretrainingVisits", "Visit", "Visits"]
