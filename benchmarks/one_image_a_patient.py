"""The data of `studies/evidence_xray.json`: of each patient one radiograph, so that labels count patients and images.

    python benchmarks/one_image_a_patient.py studies/data/chest_xray_96px studies/data/chest_xray_one

Test patients stay those of the list; 128 of the others, drawn once, are for validation. Pre-training reads the whole
folder, of which the study keeps test patients out.
"""

from __future__ import annotations

import argparse
import csv
import os
from pathlib import Path

import numpy as np

VALIDATION = 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="images and datalist.csv: image, label, patient, section")
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    with (args.data / "datalist.csv").open(newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["image"], reverse=True)
    first = {row["patient"]: row for row in rows}
    others = sorted(patient for patient, row in first.items() if row["section"] != "test")
    for number in np.random.default_rng(0).permutation(len(others))[:VALIDATION]:
        first[others[number]]["section"] = "validation"
    args.out.mkdir(parents=True, exist_ok=True)
    there = Path(os.path.relpath(args.data, args.out))
    with (args.out / "datalist.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ("image", "label", "patient", "section"), lineterminator="\n")
        writer.writeheader()
        writer.writerows({**first[patient], "image": there / first[patient]["image"]} for patient in sorted(first))


if __name__ == "__main__":
    main()
