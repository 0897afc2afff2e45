"""Compare the volumes that we make of a folder of DICOM files with those of dcm2niix (Debian package ``dcm2niix``).

PYTHONPATH=. python tests/helpers/dcm2niix.py FOLDER ...
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np

from monai_ssl.io.discovery import discover
from monai_ssl.io.readers import read
from monai_ssl.io.volume import ReadError, Volume


class Scan(NamedTuple):
    """A volume in gray values, its axes closest to RAS; pictures lie nowhere, and the lowest CT value is air."""

    name: str
    array: np.ndarray
    affine: np.ndarray | None
    lowest: float = -np.inf

    def equals(self, other: Scan) -> bool:
        """Whether values agree to a ten-thousandth of their range, and corners to a fiftieth of a voxel."""
        if other.affine is None:
            turns = (self.array, self.array[::-1], self.array[:, ::-1], self.array[::-1, ::-1])
            return any(turn.shape == other.array.shape and np.array_equal(turn, other.array) for turn in turns)
        if self.array.shape != other.array.shape:
            return False
        # the middle of the first voxel and of the last: how thick a single slice is matters to neither
        corners = np.array([[0, 0, 0, 1], [*(size - 1 for size in self.array.shape), 1]]).T
        apart = np.abs(self.affine @ corners - other.affine @ corners).max()
        voxel = np.linalg.norm(self.affine[:3, :3], axis=0).min()
        mine, yours = (np.maximum(scan.array.astype(float), other.lowest) for scan in (self, other))
        return bool(apart < 0.02 * voxel and np.abs(mine - yours).max() <= 1e-4 * max(1.0, np.ptp(mine)))


class Comparison(NamedTuple):
    """What both made of a folder.

    Args:
        equal: number of volumes that both made, with equal voxels at equal places.
        only_theirs: volumes of dcm2niix that we did not make.
        only_ours: likewise.
        reasons: our words about what we did not make.
    """

    equal: int
    only_theirs: list[Scan]
    only_ours: list[Scan]
    reasons: list[str]

    def __str__(self) -> str:
        lines = [f"{self.equal} equal, {len(self.only_theirs)} only of dcm2niix, {len(self.only_ours)} only ours"]
        for title, scans in (("only of dcm2niix", self.only_theirs), ("only ours", self.only_ours)):
            lines += [f"  {title}: {scan.name} {scan.array.shape}" for scan in scans]
        return "\n".join([*lines, *(f"  said: {reason}" for reason in self.reasons)])


def compare(folder: Path) -> Comparison:
    """Convert a folder both ways and pair the volumes that are equal."""
    ours, reasons = _ours(folder)
    theirs = _theirs(folder)
    left, only_theirs = list(ours), []
    for scan in theirs:
        twin = next((n for n, own in enumerate(left) if scan.equals(own)), None)
        if twin is None:
            only_theirs.append(scan)
        else:
            del left[twin]
    return Comparison(len(theirs) - len(only_theirs), only_theirs, left, reasons)


def _ours(folder: Path) -> tuple[list[Scan], list[str]]:
    sources, rejected = discover(folder)
    scans, reasons = [], [f"{path.name}: {reason}" for path, reason in rejected]
    for source in sources:
        try:
            volumes = read(source, four_d="split")
        except ReadError as error:
            reasons.append(f"{source.name}: {error}")
            continue
        scans += [_scan(source.name, volume) for volume in volumes if len(volume.array) == 1]
    return scans, reasons


def _scan(name: str, volume: Volume) -> Scan:
    if volume.array.ndim == 3:
        return Scan(name, volume.array[0][..., None], None)
    return Scan(name, volume.array[0], volume.affine, -1024 if volume.modality == "ct" else -np.inf)


def _theirs(folder: Path) -> list[Scan]:
    with tempfile.TemporaryDirectory() as out:
        # -p n: the rescaling of the standard instead of Philips' own
        command = ["dcm2niix", "-p", "n", "-z", "n", "-b", "n", "-d", "9", "-o", out, str(folder)]
        subprocess.run(command, check=False, capture_output=True, timeout=300)
        return [scan for path in sorted(Path(out).glob("*.nii")) for scan in _volumes(path)]


def _volumes(path: Path) -> list[Scan]:
    image = nib.load(path)
    if image.get_data_dtype().names is not None:
        # in color
        return []
    if abs(np.linalg.det(image.affine)) > 1e-6:
        image = nib.as_closest_canonical(image)
    array = np.asarray(image.dataobj)
    array = array.reshape(*array.shape[:3], -1)
    return [Scan(path.name, array[..., i], image.affine) for i in range(array.shape[3])]


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(f"{name}: {compare(Path(name))}")
