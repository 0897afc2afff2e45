"""The data of `studies/evidence_3d.json`, from head-neck CT: four organs to segment, all scans to pre-train on.

    python benchmarks/headneck_organs.py ../shared/data/headneck_ct studies/data/headneck_organs
    python benchmarks/headneck_organs.py ../shared/data/headneck_ct studies/data/headneck_organs_again --test-set 2
    python benchmarks/headneck_organs.py ../shared/data/headneck_ct studies/data/headneck_organs_third --test-set 3

Scans are cropped to the body and brought to 4 mm. `imagesTr/` has all of them; the study itself keeps those of its test
patients out of pre-training. `labelsTr/` and `datalist.json` have the patients in whom all four organs are drawn: test
patients are those of `benchmarks/does_it_help.py`, four others are for validation. With `--test-set 2`, or 3, 24 who
train in the other splits are tested, and those tested in the first train or validate: what was chosen by results of
one split can be asked anew in another.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from does_it_help import files, split
from headneck_cubes import reduce, save
from tqdm import tqdm

VALIDATION = 4


def sections(parts: dict[str, list[str]], test_set: int) -> dict[str, list[str]]:
    """Return the patients of training, validation and test; see above."""
    training, validation = parts["labeled"][:-VALIDATION], parts["labeled"][-VALIDATION:]
    if test_set == 1:
        return {"training": training, "validation": validation, "test": parts["test"]}
    count, before = len(parts["test"]), parts["test"]
    end = len(training) - (test_set - 2) * count
    return {
        "training": training[: end - count] + training[end:] + before[VALIDATION:],
        "validation": validation + before[:VALIDATION],
        "test": sorted(training[end - count : end]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="*_ct.nii.gz, *_oar.nii.gz and index.json")
    parser.add_argument("out", type=Path)
    parser.add_argument("--test-set", type=int, choices=(1, 2, 3), default=1, help="which 24 patients are tested")
    args = parser.parse_args()
    parts = split(args.data)
    by_section = sections(parts, args.test_set)
    labeled = {patient for patients in by_section.values() for patient in patients}
    load = reduce()
    for patient in tqdm(sorted({*parts["pretraining"], *parts["test"]})):
        scan = load(files(args.data, [patient])[0])
        save(scan["image"], args.out / "imagesTr", patient)
        if patient in labeled:
            save(scan["label"], args.out / "labelsTr", patient)
    listed = {
        section: [
            {"image": f"imagesTr/{patient}.nii.gz", "label": f"labelsTr/{patient}.nii.gz", "patient": patient}
            for patient in patients
        ]
        for section, patients in by_section.items()
    }
    (args.out / "datalist.json").write_text(json.dumps(listed, indent=1))


if __name__ == "__main__":
    main()
