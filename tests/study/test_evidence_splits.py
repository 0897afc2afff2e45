"""The splits that `benchmarks/` makes for studies: each has every patient once, and nobody is tested in two."""

import sys
from collections import Counter
from itertools import chain, combinations
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
import one_image_a_patient
from headneck_organs import VALIDATION, sections


def test_organs():
    patients = [f"p{number}" for number in range(96)]
    parts = {"test": patients[:24], "labeled": patients[24:]}
    splits = [sections(parts, number) for number in (1, 2, 3)]
    for split in splits:
        assert sorted(chain(*split.values())) == sorted(patients)
        assert len(split["test"]) == 24
    assert all(set(one["test"]).isdisjoint(other["test"]) for one, other in combinations(splits, 2))
    # what was chosen on validation patients of one split is not tested in another
    assert all(set(one["validation"]).isdisjoint(two["test"]) for one in splits for two in splits[1:])
    assert len(splits[0]["validation"]) == VALIDATION


def test_radiographs():
    rows = {f"p{number:03}": {"section": "test" if number % 4 == 0 else "training"} for number in range(400)}
    splits = [one_image_a_patient.sections(rows, number) for number in (1, 2)]
    listed = {patient for patient, row in rows.items() if row["section"] == "test"}
    tested = [{patient for patient, section in split.items() if section == "test"} for split in splits]
    assert tested[0] == listed and tested[1].isdisjoint(listed) and len(tested[1]) == len(listed)
    for split in splits:
        assert sorted(split) == sorted(rows)
        assert Counter(split.values()) == {"training": 172, "validation": 128, "test": 100}
