import json
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import recall_score

from monai_ssl.data.cases import patient_of
from monai_ssl.tasks import Segmentation
from monai_ssl.tasks.segmentation_metrics import MeanRecall

segmentation_cases = Segmentation({"liver": 1}).cases


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def folders(root, number=10):
    for i in range(number):
        touch(root / "imagesTr" / f"p{i}_0000.nii.gz" if i % 2 else root / "imagesTr" / f"p{i}.nii.gz")
        touch(root / "labelsTr" / f"p{i}.nii.gz")
    touch(root / "imagesTr" / "._p0.nii.gz")
    touch(root / "imagesTs" / "t.nrrd"), touch(root / "labelsTs" / "t.nii")
    return root


def images(cases):
    return {case["image"] for case in cases}


def test_folders_are_paired_and_divided_by_patient(tmp_path):
    root = folders(tmp_path)
    train, val = (segmentation_cases(s, root, seed=3) for s in ("training", "validation"))
    assert (len(train), len(val)) == (8, 2) and not images(train) & images(val)
    for case in train + val:
        stem = case["image"].rsplit("/", 1)[1].removesuffix(".nii.gz").removesuffix("_0000")
        assert case["label"].endswith(f"labelsTr/{stem}.nii.gz")
    assert [case["label"][-5:] for case in segmentation_cases("test", root)] == ["t.nii"]
    assert images(val) == images(segmentation_cases("validation", root, seed=3))
    assert any(images(val) != images(segmentation_cases("validation", root, seed=s)) for s in range(6))


def test_fewer_training_patients_are_nested_and_leave_validation_alone(tmp_path):
    root = folders(tmp_path)
    sets = [images(segmentation_cases("training", root, train_cases=n)) for n in (1, 3, 6, None)]
    assert [len(s) for s in sets] == [1, 3, 6, 8] and all(a < b for a, b in pairwise(sets))
    assert not sets[-1] & images(segmentation_cases("validation", root, train_cases=1))


def test_json_keeps_scans_of_a_patient_together_and_its_own_sections(tmp_path):
    entries = []
    for i in range(8):
        touch(tmp_path / f"i{i}.nii"), touch(tmp_path / f"l{i}.nii")
        entries.append({"image": f"i{i}.nii", "label": f"l{i}.nii", "patient": f"P{i // 2}"})
    (tmp_path / "datalist.json").write_text(json.dumps({"training": entries, "test": ["unlabeled.nii"]}))
    train, val = (segmentation_cases(s, tmp_path, val_share=0.5) for s in ("training", "validation"))
    assert len(train) == len(val) == 4 and not {patient_of(c) for c in train} & {patient_of(c) for c in val}
    with pytest.raises(ValueError, match="has no cases for test"):
        segmentation_cases("test", tmp_path)
    own = tmp_path / "lists" / "own.json"
    own.parent.mkdir()
    own.write_text(json.dumps({"training": entries[:6], "validation": entries[6:]}))
    assert len(segmentation_cases("training", tmp_path, own)) == 6
    assert len(segmentation_cases("validation", tmp_path, "lists/own.json")) == 2


def test_mistakes_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"has no cases for training: give images with labels in `imagesTr`"):
        segmentation_cases("training", tmp_path)
    with pytest.raises(ValueError, match="`section` must be"):
        segmentation_cases("train", folders(tmp_path / "a"))
    with pytest.raises(ValueError, match=r"`val_share` must be in \(0, 1\), got 1"):
        segmentation_cases("training", tmp_path / "a", val_share=1)
    touch(tmp_path / "a" / "imagesTr" / "odd.nii")
    with pytest.raises(ValueError, match=r"odd.nii` has no label of the same name"):
        segmentation_cases("training", tmp_path / "a")
    with pytest.raises(FileNotFoundError, match="There is no data list"):
        segmentation_cases("training", tmp_path, "none.json")
    bad = tmp_path / "bad.json"
    for text, match in [
        ("{", "is not valid JSON"),
        ("[]", "needs a list `training`"),
        ('{"training": [{"image": "x.nii"}]}', r"`x.nii` of the data list .* does not exist"),
        ('{"training": [{"label": "x.nii"}]}', "has no `image`"),
        ("[" * 200_000, "is not valid JSON"),
        ('"training"', "needs a list `training`"),
        ('["training"]', "needs a list `training`"),
        ('{"training": {"image": "x.nii"}}', "`training` of the data list .* is no list"),
        ('{"training": [], "test": 5}', "`test` of the data list .* is no list"),
        ('{"training": [{"image": 5, "label": "x.nii"}]}', "`image` in the data list .* must be a path, got 5"),
        # names that no system takes
        ('{"training": [{"image": "a\\u0000b", "label": "x.nii"}]}', "of the data list .* does not exist"),
        (f'{{"training": [{{"image": "{"x" * 5000}", "label": "x.nii"}}]}}', "of the data list .* does not exist"),
    ]:
        bad.write_text(text)
        with pytest.raises((ValueError, FileNotFoundError), match=match):
            segmentation_cases("training", tmp_path, bad)


def test_recall_is_that_of_each_class_and_one_that_is_not_there_does_not_count():
    task = Segmentation({"a": 1, "b": 2})
    truth, found = (torch.randint(0, 3, (2, 5, 6, 7), generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    truth[1][truth[1] == 2] = 0
    metric = MeanRecall()
    metric(*(F.one_hot(part, 3).movedim(-1, 1) for part in (found, truth)))
    table = metric.get_buffer()
    for row, f, t in zip(table, found, truth, strict=True):
        there = t.unique().tolist()
        theirs = recall_score(t.flatten(), f.flatten(), labels=there, average=None)
        assert row[there].tolist() == pytest.approx(theirs.tolist())
    assert table[1, 2].isnan()
    scores = task.score("recall", [], ["p", "q"], table)
    assert set(scores.per_class) == {"background", "a", "b"}
    assert scores.score == pytest.approx(float(metric.aggregate()))
