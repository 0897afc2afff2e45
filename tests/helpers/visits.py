"""Visits on disk in the names of BIDS: two contrasts of each patient on one grid."""

from __future__ import annotations

import atexit
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel as nib
import numpy as np

from monai_ssl.store import PrepareOptions, prepare


def write_visits(root: Path, patients: int = 4) -> Path:
    for number in range(patients):
        image = np.random.default_rng(number).random((20, 24, 18), np.float32)
        image[4:16, 4:20, 4:14] += 2
        for name, contrast in (("T1w", 100 * image), ("FLAIR", 400 - 100 * image)):
            save(contrast, root / f"sub-{number}" / f"sub-{number}_{name}.nii.gz")
    return root


def save(image: np.ndarray, path: Path, affine: np.ndarray | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(image, np.eye(4) if affine is None else affine), path)


@cache
def visits_store() -> str:
    """The same, prepared; read only."""
    folder = TemporaryDirectory()
    atexit.register(folder.cleanup)
    prepare(write_visits(Path(folder.name, "raw")), Path(folder.name, "store"), PrepareOptions(workers=0))
    return str(Path(folder.name, "store"))
