"""Studies with real, tiny cells: from a study file to a page, killed on the way."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from html import unescape
from pathlib import Path

import pytest
import torch
from mlflow.tracking import MlflowClient

from monai_ssl.study.execution import execute
from monai_ssl.study.folder import StudyFolder
from monai_ssl.study.plan import check_study
from monai_ssl.study.run_study import run_study
from monai_ssl.study.runner import do
from monai_ssl.study.worker import CODES
from monai_ssl.tasks import FinetuneCheckpoint

ROOT = Path(__file__).parents[2]
PRETRAINING = {"max_epochs": 2, "batch_size": 4, "windows_per_scan": 2, "num_workers": 0, "validation": 0.0}
TASK = {"max_epochs": 1, "iterations_per_epoch": 8, "lr": 0.02, "num_workers": 0, "batch_size": 2}
TINY = {
    "name": "tiny",
    "seeds": [0],
    "labels": [2],
    "target_bn_batches": 2,
    "pretraining": {
        "rotation": {"dataset_dir": "phantoms:ct", "overrides": {"roi_size": [16, 16, 16], "widths": [2, 4, 8, 16]}},
        "flat": {
            "bundle": "rotation",
            "config": "pretrain_2d",
            "dataset_dir": "phantoms:xray",
            "overrides": {"roi_size": [32, 32], "width": 4},
        },
    },
    "tasks": {
        "lungs": {
            "bundle": "segmentation",
            "dataset_dir": "phantoms:ct",
            "overrides": {"labels": {"lungs": 1}, "roi_size": [16, 16, 16]},
        },
        "disks": {
            "bundle": "classification",
            "dataset_dir": "phantoms:xray",
            "test_share": 0.4,
            "overrides": {"image_size": [32, 32], "in_channels": 3, "modality": "xray"},
        },
        "areas": {
            "bundle": "regression",
            "dataset_dir": "phantoms:xray",
            "overrides": {"image_size": [32, 32], "in_channels": 3, "modality": "xray", "datalist": "lung_area.csv"},
        },
    },
    "shared": {"pretraining": PRETRAINING, "tasks": TASK},
}
pytestmark = pytest.mark.slow


def results(root):
    timeless = {}
    for cell in StudyFolder(root).done_cells():
        result = json.loads(cell.result.read_text())
        assert result.pop("seconds") > 0
        # pseudonyms are of one study
        names = json.loads((root / "private/patients.json").read_text())
        result["per_case"] = {names[hidden]: score for hidden, score in result["per_case"].items()}
        timeless[cell.key] = result
    return timeless


def kill_and_continue(command, kills):
    for number in range(kills):
        child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        time.sleep(8 + 8 * number)
        child.send_signal(signal.SIGKILL)
        child.wait()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_study_from_file_to_page_killed_on_the_way(tmp_path, monkeypatch):
    # the last bits of a sum depend on the number of threads
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    content = {**TINY, "output_dir": str(tmp_path / "straight")}
    outcome = run_study(check_study(content, tmp_path), workers=2)
    assert outcome.failed == () and outcome.done == 6
    found = results(tmp_path / "straight")
    assert {(r["method"], r["task"]) for r in found.values()} == {
        ("scratch", "lungs"), ("rotation", "lungs"), ("scratch", "disks"), ("flat", "disks"),
        ("scratch", "areas"), ("flat", "areas"),
    }  # fmt: skip
    assert max(r["score"] for r in found.values()) > 0
    top = {"dice": 1, "auc": 1, "mae": float("inf")}
    assert all(0 <= r[name] <= top[r["metric"]] for r in found.values() for name in ("score", "score_target_bn"))
    assert all(r["bn_distance"] > 0 for r in found.values())
    assert all(r["labels"] == 2 and len(r["curve"]) == 1 for r in found.values())
    numbers(tmp_path / "straight", found)
    split = json.loads(StudyFolder(tmp_path / "straight").split.read_text())
    names = json.loads((tmp_path / "straight/private/patients.json").read_text())
    assert all(sorted(r["per_case"]) == sorted(names[p] for p in split[r["task"]]["test"]) for r in found.values())
    assert outcome.report.is_file()
    nested(tmp_path / "straight")

    part = {"tasks": {"lungs": TINY["tasks"]["lungs"]}, "pretraining": {"rotation": TINY["pretraining"]["rotation"]}}
    (tmp_path / "tiny.json").write_text(json.dumps({**TINY, **part, "output_dir": str(tmp_path / "killed")}))
    command = [sys.executable, "-m", "monai_ssl", "study", str(tmp_path / "tiny.json"), "--workers", "2"]
    kill_and_continue(command, 3)
    # the same content has the same key, also in a smaller study
    assert results(tmp_path / "killed") == {key: r for key, r in found.items() if r["task"] == "lungs"}

    export_is_made_up(tmp_path / "killed")


def test_regions_miou_hard_cases_and_imbalanced_labels_from_file_to_page(tmp_path):
    regions = {"regions": {"lungs": 1, "chest": [1, 2]}, "roi_size": [16, 16, 16]}
    lungs = {**TINY["tasks"]["lungs"], "metric": "miou_plus", "hard_cutoff": 0.99, "overrides": regions}
    disks = {**TINY["tasks"]["disks"], "imbalance": 0.5}
    methods = {"rotation": TINY["pretraining"]["rotation"]}
    changes = {"pretraining": methods, "tasks": {"lungs": lungs, "disks": disks}, "seeds": [0, 1], "labels": [6]}
    outcome = run_study(check_study({**TINY, **changes, "target_bn_batches": 0, "output_dir": str(tmp_path)}, tmp_path))
    assert outcome.failed == () and outcome.done == 6
    found = [r for r in results(tmp_path).values() if r["task"] == "lungs"]
    assert {r["metric"] for r in found} == {"miou_plus"} and all(0 <= r["score"] < 0.99 for r in found)
    assert all(set(r["per_class"]) == {"chest", "lungs"} for r in found)
    page = unescape(StudyFolder(tmp_path).report.read_text())
    assert "Hard is a test patient whom scratch scores 0.99 or less." in page
    (hard,) = [line for line in page.splitlines() if "rotation</td><td>2</td>" in line]
    assert hard
    for seed in (0, 1):
        listed = json.loads(StudyFolder(tmp_path).datalist("disks", 6, seed).read_text())["training"]
        assert sorted(case["label"] for case in listed) in (
            ["negative"] * 2 + ["positive"] * 4,
            ["negative"] * 4 + ["positive"] * 2,
        )


def numbers(root, found):
    """What a regression predicted stands in a table, of which the score is the mean error; less of it is better."""
    for key, result in found.items():
        if result["task"] == "areas":
            rows = list(csv.DictReader((StudyFolder(root).cell(key).root / "cases.csv").open()))
            errors = [abs(float(row["value"]) - float(row["prediction"])) for row in rows]
            assert len(errors) == len(result["per_case"]) > 1
            assert result["score"] == pytest.approx(sum(errors) / len(errors)) and not result["higher_is_better"]
    page = StudyFolder(root).report.read_text()
    assert "Score: mean absolute error" in page and "less is better." in page and "Score: Dice, the overlap" in page


def nested(root):
    client = MlflowClient(f"sqlite:///{root / 'mlruns.db'}")
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    (parent,) = [run for run in runs if run.info.run_name == "study straight"]
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(children) == 8 and {run.info.status for run in runs} == {"FINISHED"}
    assert sum("test/score" in run.data.metrics for run in children) == 6


def export_is_made_up(root):
    """A pre-training whose weights are gone, after a kill before the export or later, only exports them again."""
    study = StudyFolder(root)
    (key,) = {json.loads(cell.result.read_text())["pretraining"] for cell in study.done_cells()} - {None}
    done, job = study.pretraining(key), study.read_job(key)
    before = done.encoder.read_bytes()
    card = json.loads(done.result.read_text())
    for path in (done.encoder, done.network):
        path.unlink()
    assert not study.is_done(job)
    command = [sys.executable, "-m", "monai_ssl.study.worker", str(root), key]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, cwd=ROOT)
    assert child.wait(timeout=200) == CODES["done"]
    child.stdin.close()
    assert len(done.encoder.read_bytes()) == len(before)
    again = json.loads(done.result.read_text())
    assert study.is_done(job) and again["tensors_sha256"] == card["tensors_sha256"]
    assert again["iterations"] == card["iterations"]


def test_a_cell_that_was_killed_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
    content = json.loads(json.dumps({**TINY, "output_dir": str(tmp_path / "out"), "pretraining": {}}))
    content["tasks"] = {"disks": content["tasks"]["disks"]}
    content["shared"]["tasks"]["max_epochs"] = 4
    run_study(check_study(content, tmp_path), workers=1, say=lambda line: None)
    ((key, straight),) = results(tmp_path / "out").items()
    study, epochs = StudyFolder(tmp_path / "out"), []
    job = study.read_job(key)
    shutil.rmtree(study.cell(key).root)
    save = FinetuneCheckpoint.save

    def save_and_die(self, trainer):
        # the third epoch is validated, and its checkpoint is not written
        epochs.append(trainer.state.epoch)
        if epochs == [1, 2, 3]:
            raise KeyboardInterrupt
        save(self, trainer)

    monkeypatch.setattr(FinetuneCheckpoint, "save", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        execute(study, job, do)
    assert execute(study, job, do) == "done" and epochs == [1, 2, 3, 3, 4]
    assert results(tmp_path / "out") == {key: straight} and len(straight["curve"]) == 4
    # what is left of a cell of other data or weights is no reason to fail
    shutil.rmtree(study.cell(key).root)
    del epochs[:]
    with pytest.raises(KeyboardInterrupt):
        execute(study, job, do)
    checkpoint = study.under_way(job).checkpoint
    saved = torch.load(checkpoint, weights_only=True)
    torch.save({**saved, "run": {**saved["run"], "weights": "a file with sha256 0"}}, checkpoint)
    assert execute(study, job, do) == "done" and epochs == [1, 2, 3, 1, 2, 3, 4]
    assert results(tmp_path / "out") == {key: straight}


def test_a_cell_that_fails_leaves_the_others(tmp_path):
    content = json.loads(json.dumps({**TINY, "output_dir": str(tmp_path / "out"), "pretraining": {}}))
    content["tasks"]["lungs"]["overrides"]["roi_size"] = [15, 16, 16]
    outcome = run_study(check_study(content, tmp_path), workers=2, say=lambda line: None)
    assert outcome.done == 2
    ((title, reason),) = outcome.failed
    assert title.startswith("scratch, lungs, 2 labeled") and "`roi_size` must be divisible by 8" in reason
    assert reason in unescape(outcome.report.read_text())
