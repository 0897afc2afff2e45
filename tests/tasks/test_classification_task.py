"""Classification: cases of folders and lists, decisions."""

from itertools import combinations

import numpy as np
import pytest
import torch
from monai.transforms import Compose
from PIL import Image

from monai_ssl.tasks import Classification
from monai_ssl.tasks.classification import decisions


def folders(root, classes=("b", "a"), number=5):
    for name in classes:
        (root / name).mkdir(parents=True)
        for i in range(number):
            (root / name / f"{name}{i}.png").touch()
    return root


def test_one_folder_a_class(tmp_path):
    root = folders(tmp_path)
    train, val = (Classification(["a", "b"]).cases(s, root) for s in ("training", "validation"))
    assert (len(train), len(val)) == (8, 2)
    assert all(case["label"] == int("/b/" in case["image"]) for case in train + val)


def test_folders_below_train_val_test(tmp_path):
    for section, number in (("train", 4), ("val", 1), ("test", 2)):
        folders(tmp_path / section, number=number)
    sizes = [len(Classification(["a", "b"]).cases(s, tmp_path)) for s in ("training", "validation", "test")]
    assert sizes == [8, 2, 4]


def test_table_with_patients_sections_and_names(tmp_path):
    folders(tmp_path)
    rows = [f"b/b{i}.png,{'yes' if i % 2 else 'no'},P{i // 2}," for i in range(5)] + ["a/a0.png,no,Q,test"]
    (tmp_path / "datalist.csv").write_text("image,label,patient,section\n" + "\n".join(rows))
    train, val = (Classification(["no", "yes"]).cases(s, tmp_path, val_share=0.3) for s in ("training", "validation"))
    assert len(train) + len(val) == 5 and len(val) in (1, 2)
    assert len(Classification(["no", "yes"]).cases("test", tmp_path)) == 1


def test_copies_of_images_are_images_of_their_own_to_train_on(tmp_path):
    for i in range(3):
        Image.fromarray(np.random.default_rng(i).integers(0, 255, (16, 16), np.uint8)).save(tmp_path / f"{i}.png")
    rows = [f"{i}.png,{'yes' if i else 'no'},P{i},{copy}" for i in range(3) for copy in ("", "1", "2")]
    (tmp_path / "datalist.csv").write_text("image,label,patient,copy\n" + "\n".join(rows))
    task = Classification(["no", "yes"])
    train, val = (task.cases(section, tmp_path) for section in ("training", "validation"))
    assert [case.get("copy", 0) for case in train] == [0, 1, 2] * 2 and ["copy" in case for case in val] == [False]
    task.write_list({"training": train}, tmp_path / "again.json")
    assert task.cases("training", tmp_path, "again.json", val_share=0.01)[0].keys() == {"image", "label", "patient"}
    load = Compose(task.loading("xray", (16, 16)))
    first, again = ([load(case) for case in train] for _ in range(2))
    assert all(
        torch.equal(a["image"], b["image"]) and a["label"] == b["label"] for a, b in zip(first, again, strict=True)
    )
    looks = [sample["image"].flatten() for sample in first]
    assert not any(torch.equal(a, b) for a, b in combinations(looks, 2))
    plain = load({key: train[0][key] for key in ("image", "label")})["image"]
    assert torch.equal(plain, first[0]["image"]), "the image itself stays as it is"
    (tmp_path / "bad.csv").write_text("image,label,copy\n0.png,no,first\n1.png,yes,\n")
    with pytest.raises(ValueError, match=r"`copy` of .* must be a number"):
        task.cases("training", tmp_path, "bad.csv")


def test_multilabel_table(tmp_path):
    folders(tmp_path)
    (tmp_path / "m.csv").write_text("image,edema,nodule\na/a0.png,0,1\na/a1.png,1,1\n")
    task = Classification(["nodule", "edema"], multilabel=True)
    cases = [c for s in ("training", "validation") for c in task.cases(s, tmp_path, "m.csv")]
    assert sorted(case["label"] for case in cases) == [[1.0, 0.0], [1.0, 1.0]]
    with pytest.raises(ValueError, match=r"no column for the class 'mass', only \['edema', 'nodule'\]"):
        Classification(["mass"], multilabel=True).cases("training", tmp_path, "m.csv")


def test_mistakes_are_named(tmp_path):
    folders(tmp_path)
    with pytest.raises(ValueError, match=r"is of class 'b', which is not in `classes` \['a'\]"):
        Classification(["a"]).cases("training", tmp_path)
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        Classification(["a"]).cases("training", tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="There is no data list"):
        Classification(["a"]).cases("training", tmp_path, "none.csv")
    for text, match in [
        ("path,label\nx,a\n", "needs a column `image`"),
        ("image,label\nx.png,a\n", r"`x.png` of the data list .* does not exist"),
        ("image,label,section\na/a0.png,a,train\n", "`section` in .* must be one of"),
        ("", "needs a column `image`"),
        ("image,label\n", "needs a column `image`"),
        ("image\na/a0.png\n", "and `label` or one column for each class"),
        ("image,label\na/a0.png,a\na/a0.png,a,b\n", "Line 3 of the data list .* has not as many columns"),
        ("image,label\na/a0.png\n", "Line 2 of the data list .* has not as many columns"),
        ("image,a\na/a0.png,0\n", "has no `label` but a column for each class: set `multilabel`"),
        ("image,label\n\xff,a\n", "is no CSV in UTF-8"),
        (f"image,label\n{'x' * 200_000},a\n", "is no CSV in UTF-8"),
    ]:
        (tmp_path / "bad.csv").write_bytes(text.encode("latin-1"))
        with pytest.raises((ValueError, FileNotFoundError), match=match):
            Classification(["a"]).cases("training", tmp_path, "bad.csv")
    for text, match in [
        ("image,a\na/a0.png,0.5\n", "`a` of .*a0.png` must be 0 or 1, got '0.5'"),
        ("image,label\na/a0.png,a\n", "is listed with one `label`: leave `multilabel` off"),
    ]:
        (tmp_path / "bad.csv").write_text(text)
        with pytest.raises(ValueError, match=match):
            Classification(["a"], multilabel=True).cases("training", tmp_path, "bad.csv")


def test_decisions():
    output = [{"pred": torch.tensor([0.2, 0.8]), "label": torch.tensor([0.0, 1.0])}]
    output.append({"pred": torch.tensor([0.6, 0.7]), "label": torch.tensor([1.0, 0.0])})
    predicted, truth = decisions(output, multilabel=True)
    assert predicted.tolist() == [[0, 1], [1, 1]] and truth.tolist() == [[0, 1], [1, 0]]
    predicted, truth = decisions(output)
    assert predicted.argmax(1).tolist() == [1, 1] and truth.tolist() == [1, 0]
