"""Lay the sample cohort out as a plain folder: scans by modality and patient, labels, a data list, radiographs."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path, PurePosixPath

import nibabel as nib
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

from monai_ssl.samples.nrrd import read_sample_nrrd
from monai_ssl.samples.packages import SampleLabel, SampleScan
from monai_ssl.samples.projection import project
from monai_ssl.samples.unpack import find_members, unpack

VIEWS = {
    "frontal": (0.0, (0.0, 1.0)),
    "turned_left_15": (-15.0, (0.0, 1.0)),
    "turned_right_15": (15.0, (0.0, 1.0)),
    "turned_left_30": (-30.0, (0.0, 1.0)),
    "turned_right_30": (30.0, (0.0, 1.0)),
    "lateral": (90.0, (0.0, 1.0)),
    "front_half": (0.0, (0.5, 1.0)),
    "back_half": (0.0, (0.0, 0.5)),
}
"""Radiographs of each CT: the turn to the right in degrees and the part of the depth, see :func:`project`."""

_MIN_FIELD_OF_VIEW = 200.0


def place_scan(archive: Path, scan: SampleScan, target: Path) -> int:
    """Write a scan to ``target/<modality>/<patient>/``, NRRD as NIfTI, and return the number of files.

    Raises:
        ValueError: when the archive does not hold the files that the table promises.
    """
    names = find_members(archive, scan.members)
    if len(names) != scan.count:
        raise ValueError(f"{archive.name} holds {len(names)} files {scan.members} where {scan.count} are expected.")
    folder = target / scan.modality / scan.patient
    if names[0].endswith(".nrrd"):
        _save(_read(archive, names[0]), folder / f"{PurePosixPath(names[0]).stem}.nii.gz")
    else:
        unpack(archive, {name: folder / PurePosixPath(name).name for name in names})
    return len(names)


def place_label(archive: Path, label: SampleLabel, target: Path) -> Path:
    """Write a label map to ``target/labels/<patient>_<structure>_label.nii.gz`` and return the file."""
    image = _read(archive, label.member)
    values = np.asarray(image.dataobj)
    if label.classes:
        numbered = [np.isin(values, merged) * number for number, merged in enumerate(label.classes, start=1)]
        values = np.sum(numbered, axis=0)
    file = target / "labels" / f"{label.patient}_{label.structure}_label.nii.gz"
    _save(nib.Nifti1Image(values.astype(np.uint8), image.affine), file)
    return file


def write_datalist(target: Path, name: str, license: str) -> dict[str, int]:
    """Write ``target/datalist.json`` of all CT with labeled lungs, in the manner of the Medical Segmentation Decathlon.

    About a third of the patients, at least one, are kept for validation where there are two or more.

    Returns:
        The number of patients in each part.
    """
    pairs = []
    for label in sorted((target / "labels").glob("*_lung_label.nii.gz")):
        patient = label.name.removesuffix("_lung_label.nii.gz")
        (image,) = (target / "ct" / patient).glob("*.nii.gz")
        files = {"image": image.relative_to(target).as_posix(), "label": label.relative_to(target).as_posix()}
        pairs.append({"patient": patient, **files})
    validation = max(1, round(len(pairs) / 3)) if len(pairs) > 1 else 0
    parts = {"training": pairs[: len(pairs) - validation], "validation": pairs[len(pairs) - validation :]}
    listing = {
        "name": name,
        "description": "Both lungs in chest CT",
        "licence": license,
        "modality": {"0": "CT"},
        "tensorImageSize": "3D",
        "labels": {"0": "background", "1": "lung"},
        **parts,
    }
    write_json(target / "datalist.json", listing)
    return {part: len(pairs) for part, pairs in parts.items()}


def write_radiographs(volume: NDArray[np.generic], spacing: tuple[float, ...], folder: Path, name: str) -> int:
    """Write the :data:`VIEWS` of a CT volume (X, Y, Z) in HU as 16-bit PNG and return how many.

    A volume that shows less than 200 mm across or along the body is a detail and gets none.
    """
    x, y, z = spacing
    if min(volume.shape[0] * x, volume.shape[2] * z) < _MIN_FIELD_OF_VIEW:
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    hu, fine = _coarsen(volume, (x, y, z))
    for view, (angle, slab) in VIEWS.items():
        picture = project(hu, fine, angle=angle, slab=slab)
        Image.fromarray(picture.T).save(folder / f"{name}_ct_projection_{view}.png")
    return len(VIEWS)


def write_json(file: Path, content: object) -> None:
    """Write ``content`` aside, then put it in place."""
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{file.name}.writing")
    aside.write_text(json.dumps(content, indent=4) + "\n", encoding="utf-8")
    aside.replace(file)


def _coarsen(
    volume: NDArray[np.generic], spacing: tuple[float, float, float]
) -> tuple[NDArray[np.float32], tuple[float, float, float]]:
    """Average voxels below 1.2 mm: a radiograph of 256 pixels shows no more, and the turns cost a quarter."""
    steps = [max(1, round(1.4 / mm)) for mm in spacing]
    hu = torch.from_numpy(np.clip(volume, -1024, 3071).astype(np.float32))
    pooled = F.avg_pool3d(hu[None, None], steps)[0, 0].numpy()
    x, y, z = (mm * n for mm, n in zip(spacing, steps, strict=True))
    return pooled, (x, y, z)


def _read(archive: Path, member: str) -> nib.Nifti1Image:
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / PurePosixPath(member).name
        unpack(archive, {member: file})
        if file.suffix == ".nrrd":
            return read_sample_nrrd(file)
        image = nib.Nifti1Image.from_filename(file)
        return nib.Nifti1Image(np.asarray(image.dataobj), image.affine, image.header)


def _save(image: nib.Nifti1Image, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".writing-{file.name}")
    image.header.set_xyzt_units("mm")
    nib.save(image, aside)
    aside.replace(file)
