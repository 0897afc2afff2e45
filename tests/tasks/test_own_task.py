"""A task of one's own: a class by its dotted path in a bundle of one's own is all that a study needs."""

import json
import shutil
from dataclasses import dataclass
from typing import ClassVar

from ignite.metrics import Accuracy

from monai_ssl.bundle_folders import bundle_folder
from monai_ssl.study.cohorts import read_cohort
from monai_ssl.study.plan import check_study
from monai_ssl.tasks import Metric, Scores, Task


@dataclass(frozen=True)
class Grades(Task):
    """Every image has the grade that its name begins with."""

    highest: int = 3
    lists: ClassVar[tuple[str, ...]] = ()
    columns: ClassVar[str] = "`grade`"
    remedy: ClassVar[str] = "images"

    @property
    def metrics(self):
        return {"agreement": Metric("val_agreement", Accuracy)}

    def sections(self, root, listed):
        return {"training": [{"image": str(p), "label": int(p.name[0])} for p in sorted(root.glob("*.png"))]}

    def entry(self, case):
        return {"image": case["image"], "grade": case["label"]}

    def network(self, encoder):
        return encoder

    def loading(self):
        return []

    def keep(self, sample):
        return sample

    def score(self, metric, kept, patients, details):
        return Scores(1.0, {})

    def draw(self, metric, kept, scores, folder):
        return []


def test_a_study_takes_the_task_from_its_bundle(tmp_path):
    shutil.copytree(bundle_folder("regression"), tmp_path / "grading")
    train = tmp_path / "grading/configs/train.json"
    own = {"task": {"_target_": f"{__name__}.Grades", "highest": "@target"}, "target": 4, "metric": "agreement"}
    train.write_text(json.dumps(json.loads(train.read_text()) | own))
    for i in range(10):
        (tmp_path / f"{i % 4}{i}.png").touch()
    entry = {"bundle": "grading", "dataset_dir": ".", "overrides": {"image_size": [32, 32], "target": 5}}
    study = check_study({"name": "own", "labels": [2], "tasks": {"grade": entry}}, tmp_path)
    (task,) = study.tasks
    assert (task.metric, task.dims, task.task) == ("agreement", 2, Grades(5)) and task.higher_is_better
    cohort = read_cohort(task, tmp_path)
    assert [len(part) for part in cohort.patients().values()] == [6, 2, 2]
