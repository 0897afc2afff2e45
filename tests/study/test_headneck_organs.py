"""`benchmarks/headneck_organs.py`: each split has every patient once, and no patient is tested in two splits."""

import sys
from itertools import chain, combinations
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from headneck_organs import VALIDATION, sections


def test_each_split_has_all_patients_once_and_test_sets_share_none():
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
