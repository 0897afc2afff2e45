"""Tiny phantoms laid out like each data set of ``studies/``, one function for each kind of layout."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image

PATIENTS = 30
NIH = [
    *("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax"),
    *("Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia"),
]
CHEXPERT = ["Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion"]


def volume(path: Path, values: Sequence[int] = (0, 1), channels: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (8, 8, 8) if channels == 1 else (8, 8, 8, channels)
    array = np.resize(np.array(values, np.uint8), shape)
    nib.save(nib.Nifti1Image(array, np.eye(4)), path)


def meta_image(path: Path) -> None:
    """A scan as LUNA16 stores it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".raw").write_bytes(np.arange(512, dtype=np.int16).tobytes())
    path.write_text(
        "ObjectType = Image\nNDims = 3\nDimSize = 8 8 8\nElementSpacing = 1 1 1\nElementType = MET_SHORT\n"
        f"ElementDataFile = {path.with_suffix('.raw').name}\n"
    )


def picture(path: Path, top: int = 255, colors: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.linspace(0, top, 64).round().astype(np.uint8).reshape(8, 8)
    Image.fromarray(np.stack([array] * 3, -1) if colors else array).save(path)


def names(prefix: str) -> list[str]:
    return [f"{prefix}{number:03d}" for number in range(PATIENTS)]


def volumes(labels: Sequence[int], channels: int = 1, listed: bool = False) -> Callable[[Path], None]:
    """``imagesTr`` and ``labelsTr``; with ``listed``, two of each patient that ``datalist.json`` names."""

    def write(root: Path) -> None:
        for name in names("scan"):
            volume(root / "imagesTr" / f"{name}.nii.gz", range(100), channels)
            volume(root / "labelsTr" / f"{name}.nii.gz", labels)
        if listed:
            write_list(root, ".nii.gz")

    return write


def pictures(colors: bool = False, listed: bool = False) -> Callable[[Path], None]:
    """``imagesTr`` and ``labelsTr`` of PNG files."""

    def write(root: Path) -> None:
        for name in names("image"):
            picture(root / "imagesTr" / f"{name}.png", colors=colors)
            picture(root / "labelsTr" / f"{name}.png", top=1)
        if listed:
            write_list(root, ".png")

    return write


def write_list(root: Path, ending: str) -> None:
    files = sorted(path.name for path in (root / "imagesTr").glob(f"*{ending}"))
    cases = [
        {"image": f"imagesTr/{file}", "label": f"labelsTr/{file}", "patient": f"patient{number // 2}"}
        for number, file in enumerate(files)
    ]
    (root / "datalist.json").write_text(json.dumps({"training": cases}))


def findings(columns: Sequence[str]) -> Callable[[Path], None]:
    """Radiographs and ``datalist.csv`` with a column of 0/1 for each finding."""

    def write(root: Path) -> None:
        rows = [",".join(["image", "patient", "section", *columns])]
        for number, name in enumerate(names("image")):
            picture(root / f"images/{name}.png")
            bits = [str((number + place) % 2) for place in range(len(columns))]
            section = ("training", "training", "training", "validation", "test")[number % 5]
            rows.append(",".join([f"images/{name}.png", f"patient{number}", section, *bits]))
        (root / "datalist.csv").write_text("\n".join(rows))

    return write


def classes(*folders: str, dims: int = 2) -> Callable[[Path], None]:
    """A folder for each class."""

    def write(root: Path) -> None:
        for folder in folders:
            for name in names(f"{folder}_"):
                if dims == 2:
                    picture(root / folder / f"{name}.png")
                else:
                    volume(root / folder / f"{name}.nii.gz", range(100))

    return write


def listed_classes(*labels: str) -> Callable[[Path], None]:
    """Pictures and ``datalist.csv`` with the class of each."""

    def write(root: Path) -> None:
        rows = ["image,label,patient,section"]
        for number in range(90):
            picture(root / f"{number}.png")
            section = "test" if number % 5 == 0 else "training"
            rows.append(f"{number}.png,{labels[number % len(labels)]},patient{number},{section}")
        (root / "datalist.csv").write_text("\n".join(rows))

    return write


def scans(root: Path) -> None:
    for name in names("scan"):
        meta_image(root / f"{name}.mhd")


def decathlon(root: Path) -> None:
    """A task of the Medical Segmentation Decathlon as it is distributed."""
    volumes((0, 1, 2))(root)
    (root / "imagesTs").mkdir()
    pairs = [{"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in names("scan")]
    told = {"name": "Liver", "labels": {"0": "background", "1": "liver", "2": "cancer"}, "modality": {"0": "CT"}}
    (root / "dataset.json").write_text(json.dumps({**told, "training": pairs, "test": []}))


def hippocampus(root: Path) -> None:
    """Labeled and unlabeled scans of a task of the Decathlon, without its list."""
    volumes((0, 1, 2))(root)
    for name in names("unlabeled"):
        volume(root / "imagesTs" / f"{name}.nii.gz", range(100))


LAYOUTS: dict[str, Callable[[Path], None]] = {
    "brats": volumes((0, 1, 2, 4), channels=4),
    "breast_ultrasound": classes("benign", "malignant", "normal"),
    "breastmnist": classes("malignant", "benign"),
    "chest_xray_96px": listed_classes("normal", "bacteria", "virus"),
    "chest_xray_again": listed_classes("normal", "bacteria", "virus"),
    "chest_xray_one": listed_classes("normal", "bacteria", "virus"),
    "chexpert": findings(CHEXPERT),
    "drive": pictures(colors=True),
    "headneck/cubes": classes("other", "Brainstem", "SpinalCord", "RightParotid", "LeftParotid", dims=3),
    "headneck/store": scans,
    **dict.fromkeys(("headneck_organs", "headneck_organs_again", "headneck_organs_third"), volumes((0, 1, 2, 3, 4))),
    "hippocampus": hippocampus,
    "lidc": volumes((0, 1), listed=True),
    "lits": volumes((0, 1)),
    "lits_slices": pictures(listed=True),
    "luna16": scans,
    "luna16_candidates": classes("negative", "positive", dims=3),
    "montgomery": pictures(),
    "msd_liver": decathlon,
    "nih_chestxray14": findings(NIH),
    "nih_chestxray14_pairs": listed_classes(
        *("top_left", "top", "top_right", "left", "right", "bottom_left", "bottom", "bottom_right")
    ),
    "nih_chestxray14_rotated": listed_classes("r0", "r90", "r180", "r270"),
    "pe_cad": classes("negative", "positive", dims=3),
    "shenzhen": classes("normal", "tuberculosis"),
    "siim_acr": pictures(),
}
