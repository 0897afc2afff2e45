"""Regression: lists, held-out patients over the whole range, numbers in their own unit wherever weights are loaded."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from monai_ssl.data.cases import patient_of
from monai_ssl.tasks import Regression
from monai_ssl.tasks.regression import Regressor, StandardizedLoss
from monai_ssl.transfer import paper_encoder


def listed(root, rows, columns="image,value"):
    for row in rows:
        (root / str(row).split(",")[0]).touch()
    (root / "datalist.csv").write_text("\n".join([columns, *rows]))
    return root


def test_lists_are_csv_or_json_and_the_target_has_a_name(tmp_path):
    root = listed(tmp_path, ["a.png,61.5,A,", "b.png,-3,B,", "c.png,1e2,C,test"], "image,age,patient,section")
    cases = [case for section in ("training", "validation") for case in Regression("age").cases(section, root)]
    assert sorted((case["patient"], case["label"]) for case in cases) == [("A", [61.5]), ("B", [-3.0])]
    assert Regression("age").cases("test", root)[0]["label"] == [100.0]
    sections = {"training": [{"image": "a.png", "age": 61.5}, {"image": "b.png", "age": -3}], "test": []}
    (tmp_path / "list.json").write_text(json.dumps(sections))
    found = [Regression("age").cases(section, root, "list.json")[0] for section in ("training", "validation")]
    assert sorted(case["label"] for case in found) == [[-3.0], [61.5]]


def test_held_out_patients_cover_the_range_of_the_numbers(tmp_path):
    """One of each fifth, all images of a patient together; fewer training patients are nested."""
    numbers = np.random.default_rng(0).permutation(25)
    rows = [f"{i}_{k}.png,{number + 0.1 * k},p{i}" for i, number in enumerate(numbers) for k in range(2)]
    root = listed(tmp_path, rows, "image,value,patient")
    chosen = set()
    for seed in range(4):
        train, val = (Regression().cases(section, root, seed=seed) for section in ("training", "validation"))
        assert not {patient_of(c) for c in train} & {patient_of(c) for c in val} and len(train) + len(val) == 50
        assert sorted(int(case["label"][0]) // 5 for case in val) == [k for k in range(5) for _ in range(2)]
        few, more = ({patient_of(c) for c in Regression().cases("training", root, train_cases=n)} for n in (3, 9))
        assert few < more and (len(few), len(more)) == (3, 9)
        chosen.add(tuple(sorted(patient_of(case) for case in val)))
    assert len(chosen) == 4, "another seed holds out others"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("image,age\na.png,5\n", r"has no `value`, only \['age'\]: set `target`"),
        ("image,value\na.png,old\n", "`value` of .*a.png` must be a number, got 'old'"),
        ("image,value\na.png,nan\n", "must be a number, got 'nan'"),
        ("image\na.png\n", "needs a column `image`, and one with the number"),
    ],
)
def test_mistakes_are_named(tmp_path, text, match):
    (tmp_path / "a.png").touch()
    (tmp_path / "datalist.csv").write_text(text)
    with pytest.raises(ValueError, match=match):
        Regression().cases("training", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"There is no `datalist.csv` or `datalist.json` in"):
        Regression().cases("training", tmp_path / "none")


def test_numbers_are_in_their_own_unit_and_the_scale_travels_with_the_weights():
    torch.manual_seed(0)
    trained = Regression().network(paper_encoder(2, 1, 4), dropout=0.0).eval()
    x = torch.rand(3, 1, 32, 32)
    plain = trained(x)
    trained.set_scale([{"label": [value]} for value in (100_000.0, 100_010.0, 100_050.0)])
    mean, std = np.mean([0, 10, 50]), np.std([0, 10, 50])
    torch.testing.assert_close(trained(x).double() - 100_000, mean + std * plain.double(), atol=0.02, rtol=0)
    loaded = Regression().network(paper_encoder(2, 1, 4)).eval()
    loaded.load_state_dict(trained.state_dict(), strict=True)
    assert torch.equal(loaded(x), trained(x))
    with torch.autocast("cpu", torch.float16):
        assert trained(x).dtype == torch.float32 and trained(x).isfinite().all(), "65504 is the end of float16"
    trained.set_scale([{"label": [7.0]}])
    assert trained.std == 1, "a single number has no scale"


def test_the_loss_is_that_of_standardized_numbers():
    network = Regressor(paper_encoder(2, 1, 4))
    network.set_scale([{"label": [value]} for value in (10.0, 20.0, 60.0)])
    pred, target = torch.tensor([[12.0], [80.0]]), torch.tensor([[20.0], [10.0]])
    z = [(numbers - 30) / np.std([10, 20, 60]) for numbers in (pred, target)]
    torch.testing.assert_close(StandardizedLoss(network, F.smooth_l1_loss)(pred, target), F.smooth_l1_loss(*z))
