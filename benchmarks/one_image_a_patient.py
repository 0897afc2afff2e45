"""The data of `studies/evidence_xray.json`: of each patient one radiograph, so that labels count patients and images.

    python benchmarks/one_image_a_patient.py studies/data/chest_xray_96px studies/data/chest_xray_one
    python benchmarks/one_image_a_patient.py studies/data/chest_xray_96px studies/data/chest_xray_again --test-set 2

Test patients stay those of the list; 128 of the others, drawn once, are for validation. With `--test-set 2` as many of
the others are tested, drawn once, and those of the list train or validate: what was chosen by results of one split can
be asked anew in another. Pre-training reads the whole folder, of which the study keeps test patients out.
"""

from __future__ import annotations

import argparse
import csv
import os
from pathlib import Path

import numpy as np

VALIDATION = 128


def sections(rows: dict[str, dict[str, str]], test_set: int) -> dict[str, str]:
    """Return the section of each patient; see above."""
    test = [patient for patient in sorted(rows) if rows[patient]["section"] == "test"]
    others = sorted(rows.keys() - set(test))
    if test_set == 2:
        drawn = np.random.default_rng(test_set).permutation(others)
        others, test = sorted([*drawn[len(test) :], *test]), sorted(drawn[: len(test)])
    validation = np.random.default_rng(0).permutation(others)[:VALIDATION]
    return {
        **dict.fromkeys(others, "training"),
        **dict.fromkeys(validation, "validation"),
        **dict.fromkeys(test, "test"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="images and datalist.csv: image, label, patient, section")
    parser.add_argument("out", type=Path)
    parser.add_argument("--test-set", type=int, choices=(1, 2), default=1, help="which patients are tested")
    args = parser.parse_args()
    with (args.data / "datalist.csv").open(newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["image"], reverse=True)
    first = {row["patient"]: row for row in rows}
    by_patient = sections(first, args.test_set)
    args.out.mkdir(parents=True, exist_ok=True)
    there = Path(os.path.relpath(args.data, args.out))
    with (args.out / "datalist.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ("image", "label", "patient", "section"), lineterminator="\n")
        writer.writeheader()
        for patient, row in sorted(first.items()):
            writer.writerow({**row, "image": there / row["image"], "section": by_patient[patient]})


if __name__ == "__main__":
    main()
