"""Self-distillation, SimCLRv2-4 of docs/properties.md: the loss in closed form, and the bundle taught by a model."""

import csv
import math

import pytest
import torch
from downstream_runs import train_options, workflow, write_pictures
from torch import nn

from monai_ssl.transfer import DistillationLoss, TeacherTargets


@pytest.mark.parametrize("multilabel", [False, True])
def test_loss_is_the_cross_entropy_against_the_teacher(multilabel):
    rng = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(5, 3, generator=rng, dtype=torch.float64) * 3 for _ in range(2))
    expected = 0.0
    for s, t in zip(student.tolist(), teacher.tolist(), strict=True):
        s, t = [v / 0.5 for v in s], [v / 0.5 for v in t]
        if multilabel:
            for a, b in zip(s, t, strict=True):
                p = 1 / (1 + math.exp(-b))
                expected -= (p * -math.log1p(math.exp(-a)) + (1 - p) * -math.log1p(math.exp(a))) / 3
        else:
            p = [math.exp(b) / sum(map(math.exp, t)) for b in t]
            expected -= sum(q * (a - math.log(sum(map(math.exp, s)))) for q, a in zip(p, s, strict=True))
    assert float(DistillationLoss(0.5, multilabel)(student, teacher)) == pytest.approx(expected / 5, rel=1e-5)


def test_temperature_of_zero_is_refused():
    with pytest.raises(ValueError, match="temperature"):
        DistillationLoss(0.0)


def test_targets_are_what_the_saved_teacher_says_in_evaluation_mode(tmp_path):
    saved, network = (nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3)) for _ in range(2))
    saved[0].running_mean.fill_(2.0)
    torch.save({"model": saved.state_dict()}, tmp_path / "model.pt")
    images = torch.rand(6, 4)
    asked = TeacherTargets(network, tmp_path / "model.pt", "cpu")
    seen, targets = asked({"image": images, "label": torch.zeros(6)})
    assert torch.equal(seen, images) and torch.equal(targets, saved.eval()(images))


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A teacher, and what is said to a student of it."""
    root = tmp_path_factory.mktemp("distillation")
    pictures = write_pictures(root / "pictures")
    rows = [(str(path), path.parent.name, path.stem) for path in sorted(pictures.glob("*/*.png"))]
    section = {0: "validation", 1: "validation", 2: "test", 3: "test"}

    def datalist(name, flipped):
        other = {"negative": "positive", "positive": "negative"}
        with (root / name).open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["image", "label", "patient", "section"])
            for path, label, stem in rows:
                where = section.get(int(stem), "training" if int(stem) < 8 else None)
                if where:
                    table.writerow([path, other[label] if flipped and where == "training" else label, stem, where])
        return str(root / name)

    images = {"image_size": [32, 32], "in_channels": 3, "modality": "xray"}
    classes = {"classes": ["negative", "positive"]}
    teacher = train_options("classification", root / "teacher", dataset_dir=str(pictures), **images, **classes)
    teacher |= {"ckpt_dir": str(root / "teacher"), "datalist": datalist("true.csv", False)}
    workflow("classification", **(teacher | {"lr": 0.01, "max_epochs": 8, "batch_size": 4, "val_interval": 8})).run()

    def student(name, labels, **more):
        asked = train_options("classification", root / name, dataset_dir=str(pictures), teacher=str(root / "teacher"))
        asked |= {"datalist": labels, "lr": 0.01, "max_epochs": 8, "batch_size": 4, "val_interval": 8}
        asked |= {"unlabeled_dir": str(pictures), "norm": "group"} | more
        return workflow("classification", ["train", "distill"], **asked), root / name

    return student, datalist


def test_student_follows_its_teacher_and_no_label_teaches_it(taught):
    student, datalist = taught
    weights, losses = [], []
    for name, flipped in (("right", False), ("wrong", True)):
        flow, out = student(name, datalist(f"{name}.csv", flipped))
        trainer = flow.parser.get_parsed_content("train#trainer")
        trainer.add_event_handler("ITERATION_COMPLETED", lambda e: losses.append(e.state.output[0]["loss"]))
        flow.run()
        cases = flow.parser.get_parsed_content("train#dataset#data")
        assert {int(c["patient"]) for c in cases} == set(range(4, 12)), "four labeled, four not, none held out"
        assert all("label" not in case for case in cases)
        weights.append(torch.load(out / "checkpoint.pt", weights_only=True)["model"])
    assert all(torch.equal(a, b) for a, b in zip(weights[0].values(), weights[1].values(), strict=True))
    half = len(losses) // 2
    assert sum(losses[half - 4 : half]) < sum(losses[:4])


def test_a_teacher_that_is_not_there_is_named(taught, tmp_path):
    student, datalist = taught
    with pytest.raises(RuntimeError) as caught:
        flow, _ = student("none", datalist("none.csv", False), teacher=str(tmp_path / "nothing"))
        flow.run()
    causes, cause = [], caught.value
    while cause is not None:
        causes.append(str(cause))
        cause = cause.__cause__ or cause.__context__
    assert any("`teacher` must be the folder" in text for text in causes)
