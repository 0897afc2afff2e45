"""Splits are by patient, repeatable, and stable when patients join."""

import hashlib
import json

import pytest

from monai_ssl.store import label_fractions, load_split, save_split, split_by_patient
from monai_ssl.store.splits import DEFAULT_FRACTIONS

PATIENTS = [f"p{i:04d}" for i in range(2000)]


def test_parts_are_disjoint_complete_and_of_the_sizes_asked():
    split = split_by_patient(PATIENTS + PATIENTS[:50], seed=3)
    assert sorted(p for part in split.parts.values() for p in part) == PATIENTS
    for part, fraction in DEFAULT_FRACTIONS.items():
        # 4 standard deviations of a binomial
        assert abs(len(split[part]) - 2000 * fraction) < 4 * (2000 * fraction * (1 - fraction)) ** 0.5


def test_another_patient_moves_nobody():
    before, after = split_by_patient(PATIENTS[:500]), split_by_patient(PATIENTS[:501])
    assert all(set(before[part]) <= set(after[part]) for part in DEFAULT_FRACTIONS)


def test_seed_decides():
    assert split_by_patient(PATIENTS, seed=1) == split_by_patient(reversed(PATIENTS), seed=1)
    assert split_by_patient(PATIENTS, seed=1).parts != split_by_patient(PATIENTS, seed=2).parts


def test_known_assignment():
    # stays the same for ever: splits of published experiments depend on it
    split = split_by_patient(["a", "b", "c", "d", "e", "f"], {"train": 0.5, "test": 0.5}, seed=0)
    assert dict(split.parts) == {"train": ("a", "f"), "test": ("b", "c", "d", "e")}


def test_test_patients_stay_out_of_pretraining_unless_said_aloud():
    split = split_by_patient(PATIENTS)
    assert not set(split.pretraining()) & (set(split["test"]) | set(split["val"]))
    with pytest.warns(UserWarning, match="Pre-training sees the test patients"):
        assert set(split["test"]) < set(split.pretraining(allow_test=True))


def test_label_fractions_are_nested_and_of_size():
    chosen = label_fractions(PATIENTS[:40], [5, 0.25, 20, "all"], seed=1)
    assert [len(chosen[name]) for name in ("5", "0.25", "20", "all")] == [5, 10, 20, 40]
    assert set(chosen["5"]) < set(chosen["0.25"]) < set(chosen["20"]) < set(chosen["all"])
    assert chosen["5"] != label_fractions(PATIENTS[:40], [5], seed=2)["5"]


def test_saved_and_loaded(tmp_path):
    split = split_by_patient(PATIENTS[:100])
    save_split(split, tmp_path / "split.json")
    assert load_split(tmp_path / "split.json") == split


def test_messages(tmp_path):
    with pytest.raises(ValueError, match="add up to 1"):
        split_by_patient(PATIENTS, {"train": 0.5, "test": 0.4})
    with pytest.raises(ValueError, match="2 patients cannot be split into 3 parts"):
        split_by_patient(["a", "b", "a"])
    with pytest.raises(KeyError, match="no part `dev`"):
        split_by_patient(PATIENTS)["dev"]
    for size in (0, 41, 1.5, "few", True):
        with pytest.raises(ValueError, match="number of patients from 1 to 40"):
            label_fractions(PATIENTS[:40], [size])
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    with pytest.raises(ValueError, match=r"bad\.json is not a split"):
        load_split(bad)
    bad.write_text('{"seed": 0, "fractions": {}, "parts": {"train": ["a"], "test": ["a"]}}')
    with pytest.raises(ValueError, match="a patient in two parts"):
        load_split(bad)


@pytest.mark.parametrize(
    "content",
    [
        *([], None, {"parts": {"train": ["a"]}}, {"seed": 0, "fractions": {}}),
        *({"seed": 0, "fractions": {}, "parts": parts} for parts in ([], "train", {"train": 5}, {"train": ["a", 7]})),
        {"seed": 0, "fractions": {}, "parts": {"train": [["a"]], "test": ["b"]}},
    ],
)
def test_a_file_that_is_no_split_is_refused(tmp_path, content):
    (tmp_path / "split.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"split\.json is not a split written by `save_split` .*make it again"):
        load_split(tmp_path / "split.json")


def test_fractions_must_be_positive():
    with pytest.raises(ValueError, match="`fractions` must be positive and add up to 1"):
        split_by_patient(PATIENTS, {"train": 1.5, "val": -0.5})


def test_shares_of_patients_are_rounded_up():
    chosen = label_fractions(PATIENTS[:40], [0.01, 0.26, 0.5, 0.99])
    assert [len(members) for members in chosen.values()] == [1, 11, 20, 40]


def by_hash(patients, seed):
    """Parts by thresholds alone, and where each patient lies in [0, 1)."""
    places = {p: int(hashlib.sha256(f"split:{seed}:{p}".encode()).hexdigest()[:16], 16) / 2**64 for p in patients}
    ends = {"train": 0.7, "val": 0.8, "test": 1.0}
    return {
        part: [p for p in patients if next(n for n, e in ends.items() if places[p] < e) == part] for part in ends
    }, places


def test_an_empty_part_gets_the_nearest_patient_and_no_other_moves():
    patients, cases = PATIENTS[:4], 0
    for seed in range(200):
        parts, (plain, places) = split_by_patient(patients, seed=seed).parts, by_hash(patients, seed)
        assert all(parts.values()) and sorted(p for of in parts.values() for p in of) == patients
        moved = [(p, part) for part, of in parts.items() for p in of if p not in plain[part]]
        empty = [part for part in plain if not plain[part]]
        assert [part for _, part in moved] == empty
        if len(empty) == 1:
            start, end = {"train": (0, 0.7), "val": (0.7, 0.8), "test": (0.8, 1)}[empty[0]]
            spare = [p for of in plain.values() if len(of) > 1 for p in of]
            assert moved[0][0] == min(spare, key=lambda p: min(abs(places[p] - start), abs(places[p] - end)))
            cases += 1
    assert cases > 50
