"""Generated chest CT, head MR and chest radiographs with labels, for tests and where no real sample can be had.

They look enough like the real thing to exercise every step; what is learned from them says nothing about patients.
"""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from monai_ssl.samples.anatomy import CT_LABELS, bias_field, chest, head
from monai_ssl.samples.projection import project

Labels = NDArray[np.uint8]

CT_EXTENT = (380.0, 300.0, 320.0)
"""Field of view of :func:`phantom_ct` in mm along X, Y and Z; divided by the shape it is the spacing."""

MR_EXTENT = (190.0, 220.0, 190.0)
"""Field of view of :func:`phantom_mr` in mm along X, Y and Z."""


def phantom_ct(seed: int, shape: tuple[int, int, int] = (96, 96, 64)) -> tuple[NDArray[np.int16], Labels]:
    """Return a chest CT in HU and its labels (:data:`~monai_ssl.samples.anatomy.CT_LABELS`), both (X, Y, Z) RAS.

    Args:
        seed: another seed is another patient; the same seed and shape give the same voxels.
        shape: voxels along X, Y and Z, each at least 8; the chest fills the volume at any shape.

    Raises:
        ValueError: when an axis is shorter than 8 voxels.
    """
    rng = _generator(seed, shape, "ct")
    hu, label = chest(rng, shape)
    hu += rng.normal(0.0, rng.uniform(12.0, 28.0), shape).astype(np.float32)
    return np.clip(np.rint(hu), -1024, 3071).astype(np.int16), label


def phantom_mr(seed: int, shape: tuple[int, int, int] = (96, 96, 64)) -> tuple[NDArray[np.int16], Labels]:
    """Return a T1-like head MR and its labels (:data:`~monai_ssl.samples.anatomy.MR_LABELS`), both (X, Y, Z) RAS.

    The scale of the values differs from seed to seed, as it does between scanners.

    Args:
        seed: another seed is another patient; the same seed and shape give the same voxels.
        shape: voxels along X, Y and Z, each at least 8; the head fills the volume at any shape.

    Raises:
        ValueError: when an axis is shorter than 8 voxels.
    """
    rng = _generator(seed, shape, "mr")
    signal, label = head(rng, shape)
    signal *= bias_field(rng, shape, rng.uniform(0.05, 0.15))
    sigma = rng.uniform(10.0, 25.0)
    # the magnitude of a complex signal: Rician noise, never negative
    noisy = np.hypot(signal + rng.normal(0.0, sigma, shape), rng.normal(0.0, sigma, shape))
    return np.rint(noisy * rng.uniform(0.6, 2.5)).astype(np.int16), label


def phantom_xray(seed: int, shape: tuple[int, int] = (256, 256)) -> tuple[NDArray[np.uint16], Labels]:
    """Return a chest radiograph, projected from :func:`phantom_ct`, and a mask of the lungs (1), both (columns, rows).

    Args:
        seed: another seed is another patient.
        shape: pixels along columns (left to right) and rows (top to bottom), each at least 8.

    Raises:
        ValueError: when a side is shorter than 8 pixels.
    """
    columns, rows = shape
    hu, label = phantom_ct(seed, (columns, 24, rows))
    # spacing chosen such that one voxel is one pixel
    view = project(hu, (1.0, 1.0, 1.0), size=max(shape))
    lungs = (label == CT_LABELS["lungs"]).mean(1)[::-1, ::-1] > 0.2
    return view, lungs.astype(np.uint8)


def write_phantom_cohort(
    target: Path, patients: int = 8, seed: int = 0, *, shape: tuple[int, int, int] = (96, 96, 64)
) -> list[Path]:
    """Write chest CT of ``patients`` generated patients, every fourth a head MR instead, with the labels of the CT.

    Args:
        target: folder to write into: ``ct/<patient>/ct.nii.gz``, ``mr/<patient>/mr.nii.gz``,
            ``labels/<patient>_lung_label.nii.gz``, and ``_chest_label`` with the classes of the real samples.
        patients: how many.
        seed: another seed is another cohort.
        shape: voxels of each volume.

    Returns:
        The volumes written.

    Raises:
        ValueError: when ``patients`` is below 1.
    """
    if patients < 1:
        raise ValueError(f"`patients` must be at least 1, got {patients}.")
    written = []
    for number in range(patients):
        modality = "mr" if number % 4 == 3 else "ct"
        make, extent = (phantom_mr, MR_EXTENT) if modality == "mr" else (phantom_ct, CT_EXTENT)
        image, label = make(seed * 10_000 + number, shape)
        affine = centered_affine(extent, shape)
        patient = f"phantom_{number:03d}"
        written.append(_save(image, affine, target / modality / patient / f"{modality}.nii.gz"))
        if modality == "ct":
            lungs = (label == CT_LABELS["lungs"]).astype(np.uint8)
            _save(lungs, affine, target / "labels" / f"{patient}_lung_label.nii.gz")
            _save(_chest(label), affine, target / "labels" / f"{patient}_chest_label.nii.gz")
    return written


def centered_affine(extent: tuple[float, float, float], shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """Return the 4x4 RAS affine of a volume of ``extent`` mm in ``shape`` voxels around the origin."""
    spacing = np.array(extent) / np.array(shape)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = -spacing * (np.array(shape) - 1) / 2
    return affine


def _chest(label: Labels) -> Labels:
    """Return 1 in the right lung, 2 in the left one and 3 in the spine."""
    right = np.arange(len(label))[:, None, None] >= len(label) / 2
    lungs, spine = (label == CT_LABELS[name] for name in ("lungs", "spine"))
    return np.select([lungs & right, lungs, spine], [1, 2, 3], 0).astype(np.uint8)


def _save(array: NDArray[np.generic], affine: NDArray[np.float64], path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    return path


def _generator(seed: int, shape: tuple[int, int, int], kind: str) -> np.random.Generator:
    if len(shape) != 3 or min(shape) < 8:
        raise ValueError(f"`shape` of a phantom needs three axes of at least 8 voxels, got {tuple(shape)}.")
    return np.random.default_rng([seed, *kind.encode()])
