"""The data of `studies/headneck.json`, from head-neck CT: which organ is in the middle of a small cube?

    python benchmarks/headneck_cubes.py ../shared/data/headneck_ct studies/data/headneck

Scans are cropped to the body and brought to 4 mm. `scans/` has whole scans for pre-training, none of a test patient.
`cubes/` has, for each patient with all four organs, four cubes of 24 voxels centered in each organ and four centered
elsewhere in the body, and `datalist.csv` with patients and sections. Test patients are those of
`benchmarks/does_it_help.py`; eight others are for validation.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from does_it_help import CORE, files, split
from monai.data import MetaTensor
from monai.transforms import (
    Compose,
    CropForegroundd,
    EnsureChannelFirstd,
    LoadImaged,
    MapLabelValued,
    Orientationd,
    SaveImage,
    Spacingd,
    SpatialPadd,
)
from tqdm import tqdm

from monai_ssl.files import csv_text

KEYS = ["image", "label"]
CLASSES = ("other", *CORE)
AIR, BODY = -1000, -150
CUBE, CUBES_A_CLASS, SMALLEST = 24, 4, (56, 56, 56)
VALIDATION = 8


def reduce() -> Compose:
    return Compose(
        [
            LoadImaged(KEYS),
            EnsureChannelFirstd(KEYS),
            Orientationd(KEYS, axcodes="RAS", labels=None),
            MapLabelValued("label", [5, 6, 7], [0, 0, 0]),
            CropForegroundd(KEYS, "image", select_fn=lambda x: x > BODY, allow_smaller=False),
            Spacingd(KEYS, pixdim=[4.0, 4.0, 4.0], mode=["bilinear", "nearest"]),
            SpatialPadd("image", SMALLEST, value=AIR),
            SpatialPadd("label", SMALLEST),
        ]
    )


def cubes(image: MetaTensor, label: MetaTensor, seed: int) -> Iterator[tuple[str, MetaTensor]]:
    """Cubes around voxels drawn from each class, with the name of the class."""
    rng = np.random.default_rng(seed)
    padded = SpatialPadd("image", [s + CUBE for s in image.shape[1:]], value=AIR)({"image": image})["image"]
    for number, name in enumerate(CLASSES):
        inside = label[0] == number if number else (label[0] == 0) & (image[0] > BODY)
        voxels = np.argwhere(inside.numpy())
        for start in rng.choice(voxels, CUBES_A_CLASS, replace=False):
            yield name, padded[(slice(None), *(slice(s, s + CUBE) for s in start))]


def save(image: MetaTensor, folder: Path, name: str) -> None:
    image.meta["filename_or_obj"] = f"{name}.nii.gz"
    SaveImage(folder, output_postfix="", separate_folder=False, print_log=False, output_dtype=np.int16)(image)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="*_ct.nii.gz, *_oar.nii.gz and index.json")
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    parts = split(args.data)
    section = dict.fromkeys(parts["test"], "test")
    section |= dict.fromkeys(parts["labeled"][:-VALIDATION], "training")
    section |= dict.fromkeys(parts["labeled"][-VALIDATION:], "validation")
    patients = sorted({*parts["pretraining"], *parts["test"]})
    rows, load = [], reduce()
    for number, patient in enumerate(tqdm(patients)):
        scan = load(files(args.data, [patient])[0])
        if section.get(patient) != "test":
            save(scan["image"], args.out / "scans", patient)
        if patient not in section:
            continue
        for count, (organ, cube) in enumerate(cubes(scan["image"], scan["label"], number)):
            save(cube, args.out / "cubes", f"{patient}_{count:02d}")
            rows.append((f"{patient}_{count:02d}.nii.gz", organ, patient, section[patient]))
    table = csv_text([("image", "label", "patient", "section"), *rows])
    (args.out / "cubes/datalist.csv").write_text(table)


if __name__ == "__main__":
    main()
