"""Values chosen for every arm of a study: on validation patients, by the mean over seeds, scratch included."""

import csv
import json
from dataclasses import replace
from html import unescape

import pytest
from fabricated_study import cell, result

from monai_ssl.study import runner
from monai_ssl.study.execution import execute
from monai_ssl.study.folder import JobFolder, StudyFolder
from monai_ssl.study.jobs import TrialJob, job_from_json, job_to_json
from monai_ssl.study.plan import check_study
from monai_ssl.study.results import read_cells
from monai_ssl.study.run_study import run_study, table_of
from monai_ssl.study.tuning import candidates, tried_by, with_trials

GRID = {"lr": [1e-4, 1e-3], "max_epochs": [5, 10]}


def arms(seeds=(0, 1, 2), schemes=("full", "fixed"), **changes):
    cells = []
    for method, scheme in (("scratch", "full"), *(("byol", scheme) for scheme in schemes)):
        for seed in seeds:
            one = cell(result(method, seed=seed, scheme=scheme, **changes), f"{method} {scheme} {seed}")
            cells.append(replace(one, overrides={"scheme": scheme, "seed": seed}, target_bn_batches=3))
    return cells


def test_every_arm_tries_everything_with_the_first_seeds_and_its_cells_wait_for_it():
    trials, cells = with_trials(arms(), GRID, [0, 1])
    assert len(trials) == 3 * 4 * 2 == len({trial.key for trial in trials})
    for one in cells:
        own = [t for t in trials if (t.cell.method, t.cell.scheme) == (one.method, one.scheme)]
        assert one.trials == {t.key: t.values for t in own} and set(one.needs) == set(one.trials)
        assert {t.cell.seed for t in own} == {0, 1}
        tried = [tuple(t.values.values()) for t in own if t.cell.seed == 0]
        assert sorted(tried) == [(1e-4, 5), (1e-4, 10), (1e-3, 5), (1e-3, 10)]
        # a frozen encoder does not learn: there the rate of the head is what can be tried
        names = {"full": {"lr", "max_epochs"}, "fixed": {"head_lr", "max_epochs"}}[one.scheme]
        assert all(set(t.values) == names and t.values.items() <= t.cell.overrides.items() for t in own)
    assert all(t.cell.target_bn_batches == 0 for t in trials)
    job = trials[0]
    assert job_from_json(json.loads(json.dumps(job_to_json(job)))) == job
    assert job_from_json(json.loads(json.dumps(job_to_json(cells[0])))) == cells[0]
    # a longer list tries only what is new, and what was chosen from another list is another cell
    more, others = with_trials(arms(), {"lr": [1e-4, 1e-3, 1e-2], "max_epochs": [5, 10]}, [0, 1])
    assert {t.key for t in trials} < {t.key for t in more}
    assert not {c.key for c in cells} & {c.key for c in others}
    assert with_trials(arms(), {}, [0]) == ([], arms())


@pytest.mark.parametrize(
    ("higher", "select", "score"), [(True, "best", 0.7), (False, "best", 0.2), (False, "last", 0.4)]
)
def test_a_trial_is_judged_by_its_validation_curve(higher, select, score, tmp_path, monkeypatch):
    curve = [[1, 0.7], [2, 0.2], [3, 0.4]]
    monkeypatch.setattr(runner, "_trained", lambda *_: (None, curve))
    monkeypatch.setattr(runner, "_settings", lambda *_: {})
    trials, _ = with_trials([replace(one, higher_is_better=higher, select=select) for one in arms()], GRID, [0])
    found = runner.try_out(trials[0], None, JobFolder(tmp_path))
    assert (found["validation"], found["curve"]) == (score, curve)


def test_rates_of_the_head_are_those_listed_for_it():
    both = {"lr": [1, 2], "head_lr": [3]}
    assert candidates(both, "fixed") == [{"head_lr": 3}]
    assert candidates(both, "warmup") == [{"lr": 1, "head_lr": 3}, {"lr": 2, "head_lr": 3}]


def judged(tmp_path, scores, **changes):
    """What a cell gets when its trials, by seed and rate, had these scores on validation patients."""
    folder = StudyFolder(tmp_path)
    trials, (first, *_) = with_trials(arms((0, 1), (), **changes), {"lr": [1, 2, 3]}, [0, 1])
    for trial in trials:
        score = scores[trial.cell.seed][trial.values["lr"] - 1]
        assert execute(folder, trial, lambda *_, score=score: {"validation": score}) == "done"
    return tried_by(first, folder)


def test_the_best_mean_over_seeds_is_chosen_and_what_diverged_never(tmp_path):
    found = judged(tmp_path / "a", [(0.5, 0.6, 0.9), (0.7, 0.65, None)])
    assert [(one.values["lr"], one.validation, one.seeds) for one in found] == [
        (1, pytest.approx(0.6), 2),
        (2, pytest.approx(0.625), 2),
        (3, None, 2),
    ]
    assert [one.chosen for one in found] == [False, True, False]
    less = judged(tmp_path / "b", [(0.5, 0.6, 0.9), (0.7, 0.65, 0.1)], metric="mae", higher_is_better=False)
    assert [one.chosen for one in less] == [False, False, True]
    with pytest.raises(ValueError, match="All trainings of `tune` diverged"):
        judged(tmp_path / "c", [(None, None, None)] * 2)


STUDY = {
    "name": "tuned",
    "seeds": [0, 1],
    "labels": [3],
    "select": "best",
    "tune": {"lr": [1e-9, 0.02, 1e30]},
    "pretraining": {"rotation": {"dataset_dir": "phantoms:ct", "overrides": {"roi_size": [16, 16, 16]}}},
    "schemes": ["full", "fixed"],
    "tasks": {
        "lungs": {
            "bundle": "segmentation",
            "dataset_dir": "phantoms:ct",
            "overrides": {"labels": {"lungs": 1}, "roi_size": [16, 16, 16], "iterations_per_epoch": 12},
        }
    },
    "shared": {
        "pretraining": {"max_epochs": 1, "batch_size": 4, "num_workers": 0, "validation": 0.0, "widths": [2, 4, 8, 16]},
        "tasks": {"max_epochs": 2, "batch_size": 2, "num_workers": 0},
    },
}


def test_a_dry_run_counts_the_trials(tmp_path):
    assert "9 trials before, on validation patients" in table_of(check_study(STUDY, tmp_path))
    both = check_study({**STUDY, "tune_seeds": 2, "labels": [1, 3]}, tmp_path)
    assert "36 trials before" in table_of(both)


@pytest.mark.slow
def test_a_tuned_study_from_file_to_page(tmp_path):
    """In every arm the best on validation patients is chosen, never what diverged; the test decides nothing."""
    outcome = run_study(check_study({**STUDY, "output_dir": str(tmp_path)}, tmp_path), workers=2)
    assert outcome.failed == () and outcome.done == 6
    folder = StudyFolder(tmp_path)
    cells, unfinished = read_cells(folder)
    assert not unfinished and len(list((tmp_path / "trials").iterdir())) == 9
    for one in cells:
        (chosen,) = (tried for tried in one.tuning if tried.chosen)
        assert chosen.validation == max(tried.validation or 0 for tried in one.tuning)
        assert one.tuning[2].validation is None, "a rate of 1e30 diverges"
        assert one.tuned == chosen.told and set(chosen.values) == {"head_lr" if one.scheme == "fixed" else "lr"}
        # what trained the trial of a seed trains its cell: the same curve
        if one.seed == 0:
            trials = [json.loads(path.read_text()) for path in (tmp_path / "trials").glob("*/result.json")]
            (same,) = [
                trial
                for trial in trials
                if (trial["method"], trial["scheme"]) == (one.method, one.scheme) and trial["values"] == chosen.values
            ]
            assert [value for _, value in one.curve] == pytest.approx([value for _, value in same["curve"]])
        assert "score" not in json.loads(next((tmp_path / "trials").glob("*/result.json")).read_text())
    page = unescape(folder.report.read_text())
    assert "Tuning: what each arm was tried with" in page and page.count("<td>●</td>") == 3
    rows = list(csv.DictReader(folder.table.open()))
    assert {row["tuned"] for row in rows} == {one.tuned for one in cells}
    assert isinstance(folder.read_job(next((tmp_path / "trials").iterdir()).name), TrialJob)
