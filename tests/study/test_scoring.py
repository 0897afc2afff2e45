"""Scores of test patients from what an evaluator shows."""

import math
from types import SimpleNamespace

import pytest
import torch
from monai.metrics import compute_dice
from PIL import Image
from sklearn.metrics import mean_absolute_error, r2_score, roc_auc_score, root_mean_squared_error

from monai_ssl.study.folder import JobFolder
from monai_ssl.study.scoring import Scoring
from monai_ssl.tasks import Classification, Regression, Segmentation
from monai_ssl.tasks.overlay import thickest_slice


class Evaluator:
    """Fires what Scoring listens to."""

    def __init__(self, details=None):
        self.state = SimpleNamespace(output=None, metric_details=details)
        self.handlers = []

    def add_event_handler(self, event, handler):
        self.handlers.append(handler)

    def run(self, outputs):
        for output in outputs:
            self.state.output = [output]
            self.handlers[0](self)
        self.handlers[1](self)


def cases(*patients):
    return [{"image": f"{i}.nii", "patient": patient} for i, patient in enumerate(patients)]


def one_hot(classes):
    return torch.nn.functional.one_hot(classes, 3).permute(3, 0, 1, 2)


def segmentation(tmp_path, metric="dice"):
    torch.manual_seed(0)
    truths, preds = (torch.randint(0, 3, (4, 6, 5, 4)) for _ in range(2))
    truths[1][truths[1] == 2] = 0
    pairs = [(one_hot(p)[None], one_hot(t)[None]) for p, t in zip(preds, truths, strict=True)]
    table = torch.cat([compute_dice(p, t, include_background=False) for p, t in pairs])
    task = Segmentation({"heart": 2, "lung": 1})
    evaluator = Evaluator({task.metric(metric).key: table})
    scoring = Scoring(task, metric, JobFolder(tmp_path))
    scoring.attach(evaluator, cases("a", "b", "b", "c"))
    evaluator.run([{"image": torch.rand(1, 6, 5, 4), "pred": p[0], "label": t[0]} for p, t in pairs])
    return table, scoring


def test_segmentation_is_averaged_over_patients(tmp_path):
    table, scoring = segmentation(tmp_path)
    assert table[1, 1].isnan(), "a class that a scan does not have"
    result = scoring.result()
    of_scan = [table[0].mean(), table[1, 0], table[2].mean(), table[3].mean()]
    expected = {"a": of_scan[0], "b": (of_scan[1] + of_scan[2]) / 2, "c": of_scan[3]}
    assert result["per_case"] == pytest.approx({name: float(v) for name, v in expected.items()})
    assert result["score"] == pytest.approx(float(sum(expected.values()) / 3))
    assert result["per_class"] == pytest.approx(
        {"lung": float(table[:, 0].mean()), "heart": float(table[:, 1].nanmean())}
    )
    assert result["pictures"] == ["best.png", "worst.png"]
    assert all(Image.open(tmp_path / name).size[0] > 2 * 6 for name in result["pictures"])


def test_a_missed_structure_has_no_distance(tmp_path):
    _, scoring = segmentation(tmp_path, "hd95")
    scoring.details = torch.tensor([[1.0, math.inf], [2.0, math.nan], [3.0, 5.0], [math.inf, math.inf]])
    result = scoring.result()
    assert result["per_case"] == {"a": 1.0, "b": 3.0, "c": None} and result["score"] == 2.0
    assert result["per_class"] == {"lung": 2.0, "heart": 5.0}
    scoring.details = torch.full((4, 2), torch.nan)
    with pytest.raises(ValueError, match="The hd95 of the test patients is not a number"):
        scoring.result()


def test_the_best_case_has_the_least_distance_and_the_highest_overlap(tmp_path):
    _, scoring = segmentation(tmp_path, "hd95")
    distances = torch.tensor([1.0, 4.0, 2.0, 3.0])[:, None].repeat(1, 2)
    scores = scoring.task.score("hd95", scoring.kept, scoring.patients, distances)
    pictures = {}
    for metric in ("hd95", "dice"):
        names = scoring.task.draw(metric, scoring.kept, scores, tmp_path)
        pictures[metric] = [(tmp_path / name).read_bytes() for name in names]
    assert pictures["hd95"] == pictures["dice"][::-1] and pictures["dice"][0] != pictures["dice"][1]


def classification(metric, tmp_path, pred, label, multilabel=False):
    evaluator = Evaluator()
    scoring = Scoring(Classification("xyz"[: pred.shape[1]], multilabel), metric, JobFolder(tmp_path))
    scoring.attach(evaluator, cases(*(f"p{i // 2}" for i in range(len(pred)))))
    evaluator.run([{"pred": p, "label": t} for p, t in zip(pred, label, strict=True)])
    return scoring.result()


@pytest.mark.parametrize("order", ["as it comes", "sorted by class"])
def test_auc_is_that_of_scikit_learn_in_any_order(tmp_path, order):
    torch.manual_seed(1)
    pred, index = torch.rand(20, 3).softmax(1), torch.arange(20) % 3
    if order == "sorted by class":
        pred, index = pred[index.argsort()], index.sort().values
    result = classification("auc", tmp_path, pred, torch.nn.functional.one_hot(index, 3))
    expected = [roc_auc_score(index == i, pred[:, i]) for i in range(3)]
    assert list(result["per_class"].values()) == pytest.approx(expected, abs=1e-6)
    assert result["score"] == pytest.approx(sum(expected) / 3, abs=1e-6)
    assert set(result["per_case"].values()) == {None} and len(result["per_case"]) == 10
    without = torch.arange(20) >= 2
    left = sum(roc_auc_score(index[without] == i, pred[without, i]) for i in range(3)) / 3
    assert result["pseudo_values"]["p0"] == pytest.approx(10 * result["score"] - 9 * left, abs=1e-5)
    assert len(result["pseudo_values"]) == 10


def test_auc_of_one_side_only_is_no_number(tmp_path):
    label = torch.tensor([[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 0]])
    result = classification("auc", tmp_path, torch.rand(4, 3).softmax(1), label)
    assert result["per_class"].keys() == {"x", "y"}
    assert set(result["pseudo_values"]) == {"p0", "p1"}
    only_one_patient_has_it = torch.tensor([[1, 0], [1, 0], [0, 1], [0, 1]])
    assert classification("auc", tmp_path, torch.rand(4, 2).softmax(1), only_one_patient_has_it)["pseudo_values"] == {}


def test_accuracy_of_patients_and_classes(tmp_path):
    pred = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
    label = torch.tensor([[1, 0], [1, 0], [0, 1], [0, 1]])
    result = classification("accuracy", tmp_path, pred, label)
    assert result["per_case"] == {"p0": 0.5, "p1": 0.5} and result["score"] == 0.5
    assert result["per_class"] == {"x": 0.5, "y": 0.5}


def test_accuracy_of_several_labels(tmp_path):
    pred = torch.tensor([[0.9, 0.9], [0.2, 0.8]])
    result = classification("accuracy", tmp_path, pred, torch.tensor([[1.0, 1.0], [1.0, 1.0]]), multilabel=True)
    assert result["score"] == 0.75


def regression(metric, tmp_path, found, value):
    evaluator = Evaluator()
    scoring = Scoring(Regression("age"), metric, JobFolder(tmp_path))
    scoring.attach(evaluator, cases(*(f"p{i // 2}" for i in range(len(found)))))
    evaluator.run([{"pred": p[None], "label": t[None]} for p, t in zip(found, value, strict=True)])
    return scoring.result()


def test_scores_of_numbers(tmp_path):
    """Against scikit-learn; the absolute error is a patient's own, of the others a patient has a pseudo-value."""
    torch.manual_seed(0)
    value = 60 + 10 * torch.randn(12, dtype=torch.float64)
    found = value + torch.randn(12)
    mae = regression("mae", tmp_path, found, value)
    expected = (found - value).abs().reshape(6, 2).mean(1)
    assert list(mae["per_case"].values()) == pytest.approx(expected.tolist())
    assert mae["score"] == pytest.approx(mean_absolute_error(value, found)) and mae["pseudo_values"] == {}
    for metric, theirs in (("r2", r2_score), ("rmse", root_mean_squared_error)):
        result = regression(metric, tmp_path, found, value)
        assert result["score"] == pytest.approx(theirs(value, found))
        without = theirs(value[2:], found[2:])
        assert result["pseudo_values"]["p0"] == pytest.approx(6 * result["score"] - 5 * without)
        assert set(result["per_case"].values()) == {None} and len(result["pseudo_values"]) == 6
    assert Image.open(tmp_path / mae["pictures"][0]).size == (400, 400)
    with pytest.raises(ValueError, match="The r2 of the test patients is not a number"):
        regression("r2", tmp_path, found, torch.full_like(value, 60))
    assert regression("r2", tmp_path, found[:4], value[:2].repeat_interleave(2))["pseudo_values"] == {}


def test_the_thickest_slice():
    truth = torch.zeros(4, 5, 6, dtype=torch.int64)
    truth[1:3, 2, 3], truth[1, 2, 5] = 1, 2
    image = torch.arange(120.0).reshape(1, 4, 5, 6)
    part = thickest_slice(image, truth, 1 - truth)
    assert torch.equal(part.image, image[0, ..., 3]) and torch.equal(part.found, 1 - truth[..., 3])
    flat = thickest_slice(image[..., 0], truth[..., 3], truth[..., 3])
    assert flat.image.shape == (4, 5)
