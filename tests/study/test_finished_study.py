"""A study of patients with names, from raw files to the page: nobody's name stands where others can read."""

import json

import pytest
from PIL import Image

from monai_ssl.samples.phantom import phantom_xray
from monai_ssl.store import Store
from monai_ssl.study.folder import StudyFolder
from monai_ssl.study.jobs import PretrainingJob
from monai_ssl.study.plan import check_study
from monai_ssl.study.run_study import run_study
from monai_ssl.study.study_data import prepare_study

NAME, PATIENTS = "mustermann", 10
COMMON = {"batch_size": 2, "num_workers": 0, "max_epochs": 1}
STUDY = {
    "name": "named",
    "labels": [4],
    "patients": rf"({NAME}\d+)_visit",
    "pretraining": {"rotation": {"config": "pretrain_2d"}},
    "tasks": {
        "disks": {
            "bundle": "classification",
            "metric": "auc",
            "test_share": 0.3,
            "val_share": 0.1,
            "overrides": {"modality": "xray"},
        }
    },
    "shared": {
        "pretraining": {**COMMON, "width": 4, "roi_size": [32, 32], "windows_per_scan": 1, "validation": 0.0},
        "tasks": {**COMMON, "image_size": [32, 32], "in_channels": 3, "iterations_per_epoch": 2},
    },
}


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """Two visits of each patient, whose pictures lie apart and are named by visit and patient."""
    root = tmp_path_factory.mktemp("raw")
    for number in range(2 * PATIENTS):
        array, _ = phantom_xray(number, (64, 64))
        folder = root / ("negative", "positive")[number % PATIENTS % 2]
        folder.mkdir(exist_ok=True)
        path = folder / f"{number // PATIENTS}_{NAME}{number % PATIENTS}_visit.png"
        Image.fromarray((255.0 * array / array.max()).astype("uint8").T).save(path)
    return {
        **STUDY,
        "pretraining": {"rotation": {**STUDY["pretraining"]["rotation"], "dataset_dir": str(root)}},
        "tasks": {"disks": {**STUDY["tasks"]["disks"], "dataset_dir": str(root)}},
    }


def test_who_is_a_patient_is_said_in_the_study_file(content, tmp_path):
    """Once for all, for one entry by a table beside the study file, or wrongly."""
    folder = StudyFolder(tmp_path)
    prepared = prepare_study(check_study({**content, "output_dir": str(tmp_path)}, tmp_path), folder)
    parts = prepared.cohorts["disks"].patients()
    assert sorted(p for part in parts.values() for p in part) == [f"{NAME}{i}" for i in range(PATIENTS)]
    (job,) = (job for job in prepared.jobs if isinstance(job, PretrainingJob))
    assert len(Store(job.overrides["dataset_dir"]).patients) == PATIENTS
    assert prepared.held_back == {"rotation": len(parts["test"])}

    rows = [f"{i // PATIENTS}_{NAME}{i % PATIENTS}_visit,{i % PATIENTS // 2}" for i in range(2 * PATIENTS)]
    (tmp_path / "who.csv").write_text("\n".join(["image,patient", *rows]))
    own = {"tasks": {"disks": {**content["tasks"]["disks"], "patients": "who.csv"}}}
    study = check_study({**content, **own}, tmp_path)
    assert study.pretraining[0].patients == STUDY["patients"]
    cases = study.tasks[0].task.cases("training", study.tasks[0].dataset_dir, patients=study.tasks[0].patients)
    assert {case["patient"] for case in cases} < {"0", "1", "2", "3", "4"}
    for said, why in (("none.csv", "no table of patients"), ("(", "no regular expression"), (7, "must be a table")):
        with pytest.raises(ValueError, match=rf"`tasks#disks#patients`.*{why}"):
            check_study({**content, "tasks": {"disks": {**own["tasks"]["disks"], "patients": said}}}, tmp_path)


@pytest.mark.slow
def test_a_finished_study_names_no_patient_outside_private(content, tmp_path):
    outcome = run_study(check_study({**content, "output_dir": str(tmp_path)}, tmp_path), workers=1)
    assert outcome.failed == () and outcome.done == 2
    files = [
        path for path in tmp_path.rglob("*") if path.is_file() and "private" not in path.relative_to(tmp_path).parts
    ]
    names = {path.suffix for path in files}
    assert {".log", ".db", ".json", ".csv", ".html", ".png", ".safetensors"} <= names
    assert [path for path in files if NAME.encode() in path.read_bytes() or NAME in path.name] == []
    who = json.loads((tmp_path / "private" / "patients.json").read_text())
    assert sorted(who.values()) == [f"{NAME}{i}" for i in range(PATIENTS)]
