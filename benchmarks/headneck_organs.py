"""The data of `studies/evidence_3d.json`, from head-neck CT: four organs to segment, all scans to pre-train on.

    python benchmarks/headneck_organs.py ../shared/data/headneck_ct studies/data/headneck_organs
    python benchmarks/headneck_organs.py ../shared/data/headneck_ct studies/data/headneck_organs_again --other-test

Scans are cropped to the body and brought to 4 mm. `imagesTr/` has all of them; the study itself keeps those of its test
patients out of pre-training. `labelsTr/` and `datalist.json` have the patients in whom all four organs are drawn: test
patients are those of `benchmarks/does_it_help.py`, four others are for validation. With `--other-test`, for
`studies/evidence_3d_finetuned.json`, 24 patients that trained before are tested, and those tested before train or
validate: what was chosen by a result of the first split can be asked anew.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from does_it_help import files, split
from headneck_cubes import reduce, save
from tqdm import tqdm

VALIDATION = 4


def sections(parts: dict[str, list[str]], other_test: bool) -> dict[str, list[str]]:
    """Return the patients of training, validation and test; see above."""
    training, validation = parts["labeled"][:-VALIDATION], parts["labeled"][-VALIDATION:]
    if not other_test:
        return {"training": training, "validation": validation, "test": parts["test"]}
    count, before = len(parts["test"]), parts["test"]
    return {
        "training": training[:-count] + before[VALIDATION:],
        "validation": validation + before[:VALIDATION],
        "test": sorted(training[-count:]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="*_ct.nii.gz, *_oar.nii.gz and index.json")
    parser.add_argument("out", type=Path)
    parser.add_argument("--other-test", action="store_true", help="test 24 patients that train without this")
    args = parser.parse_args()
    parts = split(args.data)
    by_section = sections(parts, args.other_test)
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
