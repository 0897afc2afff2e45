"""Results that an earlier run packed: a study takes those of its own jobs, and names nobody on the way."""

import gzip
import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from monai_ssl.cli import main
from monai_ssl.study.comparison import compare
from monai_ssl.study.execution import execute
from monai_ssl.study.folder import StudyFolder
from monai_ssl.study.jobs import CellJob, PretrainingJob, TrialJob
from monai_ssl.study.packed_results import pack_results
from monai_ssl.study.plan import read_study
from monai_ssl.study.report.tables import summary_text
from monai_ssl.study.results import read_cells
from monai_ssl.study.run_study import run_study
from tests.study.test_plan import changed
from tests.study.test_study_data import study_of, volumes  # noqa: F401

ROOT = Path(__file__).parents[2]
COMMITTED = sorted((ROOT / "studies/results").glob("*.json.gz"))
spec = importlib.util.spec_from_file_location("evidence", ROOT / "docs/evidence.py")
evidence = importlib.util.module_from_spec(spec)
spec.loader.exec_module(evidence)


def names_of(folder):
    return json.loads((folder.root / "private/patients.json").read_text())


def work(job, folder, aside):
    """Scores that tell patients, methods, labels and seeds apart."""
    if isinstance(job, PretrainingJob):
        save_file({"weight": np.zeros(1)}, aside.encoder)
        return {"weights": [aside.encoder.name], "seconds": 1.0, "iterations": 2, "patients": 3, "scans": 3}
    if isinstance(job, TrialJob):
        return {"validation": 0.5, "curve": [], "seconds": 1.0}
    split = json.loads(folder.split.read_text())
    names = names_of(folder)
    gain = len(job.method) / 100 + job.labels / 50 + job.seed / 1000
    scores = {hidden: int(names[hidden].removeprefix("pt")) / 10 + gain for hidden in split[job.task]["test"]}
    measured = {"per_case": scores, "pseudo_values": {hidden: -score for hidden, score in scores.items()}}
    return {"score": float(np.mean(list(scores.values()))), **measured, "pictures": ["best.png"]}


def ran(study, launched=None):
    """Run a study; return what it said."""
    said = []

    def launch(folder, job, slot):
        if launched is not None:
            launched.append(job)
        return execute(folder, job, work)

    outcome = run_study(study, launch=launch, say=said.append)
    assert outcome.failed == ()
    return said


def scores(folder):
    """Scores of the patients of each cell, by name."""
    names = names_of(folder)
    cells, unfinished = read_cells(folder)
    assert not unfinished
    return {
        (*c.arm, c.seed): [{names[who]: score for who, score in of.items()} for of in (c.per_case, c.pseudo_values)]
        for c in cells
    }


@pytest.fixture(scope="module")
def finished(volumes, tmp_path_factory):  # noqa: F811
    """A finished study with trials, and its packed results."""
    root = tmp_path_factory.mktemp("finished")
    study = study_of(volumes, root / "out", tune={"lr": [1e-4, 1e-3]}, labels=[2])
    # four test patients: their order matters
    study = replace(study, tasks=tuple(replace(task, test_share=0.5) for task in study.tasks))
    ran(study)
    path = root / "packed.json.gz"
    assert pack_results(StudyFolder(study.output_dir), path) == len(list((root / "out/jobs").glob("*.json")))
    return study, path


def test_a_study_goes_on_from_packed_results_elsewhere(finished, tmp_path):
    study, path = finished
    first, second = StudyFolder(study.output_dir), StudyFolder(tmp_path / "out")
    launched = []
    said = ran(replace(study, output_dir=second.root, results=path), launched)
    jobs = len(list((first.root / "jobs").glob("*.json")))
    assert launched == [] and said[-2:] == [
        f"{jobs} results taken from packed.json.gz",
        f"{study.name}: {jobs} jobs, {jobs} done before",
    ]
    assert scores(second) == scores(first)
    assert second.read_record()["results"] == path.name and "results" not in first.read_record()
    assert not set(names_of(first)) & set(names_of(second)), "each study has pseudonyms of its own"
    assert [replace(row, paired=None) for row in compare(read_cells(second)[0])] == [
        replace(row, paired=None) for row in compare(read_cells(first)[0])
    ]
    assert not any(cell.pictures for cell in read_cells(second)[0]), "pictures are not packed"
    assert second.report.is_file() and not list(second.root.glob("pretraining/*/*.safetensors"))
    # what is there is not taken again
    assert f"0 results taken from {path.name}" in ran(replace(study, output_dir=second.root, results=path))


def test_only_jobs_of_other_keys_are_done(finished, tmp_path):
    """One more seed is trained, with the pre-trainings that it starts from, whose weights nobody packed."""
    study, path = finished
    more = replace(study, seeds=(*study.seeds, 9), output_dir=tmp_path, results=path)
    launched = []
    ran(more, launched)
    cells = [job for job in launched if isinstance(job, CellJob)]
    assert {job.seed for job in cells} == {9} and cells
    assert {job.method for job in launched if isinstance(job, PretrainingJob)} == {job.method for job in cells} - {
        "scratch"
    }
    assert not any(isinstance(job, TrialJob) for job in launched)


def test_a_study_file_names_its_results_beside_it_or_none(tmp_path):
    path = tmp_path / "own.json"
    path.write_text(json.dumps({**changed(), "results": "results/own.json.gz"}))
    assert read_study(path).results == tmp_path / "results/own.json.gz"
    assert read_study(path, {"results": ""}).results is None
    with pytest.raises(ValueError, match="`results` must be a text, got 3"):
        read_study(path, {"results": 3})


def test_packed_results_name_nobody(finished):
    study, path = finished
    text = gzip.decompress(path.read_bytes()).decode()
    hidden = names_of(StudyFolder(study.output_dir))
    assert hidden and not any(who in text for who in (*hidden, *hidden.values(), str(study.output_dir)))
    assert list(json.loads(text)) == sorted(json.loads(text)), "the order of a set differs from process to process"
    assert pack_results(StudyFolder(study.output_dir), path.with_name("again")) and path.read_bytes() == (
        path.with_name("again").read_bytes()
    ), "the same results are the same bytes"


DAMAGE = {
    "missing": lambda data: None,
    "no gzip": lambda data: b"{}",
    "cut": lambda data: data[:-20],
    "damaged": lambda data: data[:10] + b"\xff" * 100,
    "a list": lambda data: gzip.compress(b"[]"),
    "deep": lambda data: gzip.compress(b"[" * 10**6),
    "no results": lambda data: gzip.compress(b'{"a": 1}'),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_what_is_no_file_of_results_is_refused(finished, tmp_path, damage):
    study, path = finished
    broken = tmp_path / "broken.json.gz"
    if (content := damage(path.read_bytes())) is not None:
        broken.write_bytes(content)
    with pytest.raises(ValueError, match=r"`results` of the study file: .*broken\.json\.gz"):
        ran(replace(study, output_dir=tmp_path / "out", results=broken))


def test_results_of_other_patients_are_refused(finished, tmp_path):
    study, path = finished
    content = json.loads(gzip.decompress(path.read_bytes()))
    next(result for result in content.values() if "per_case" in result)["per_case"]["99"] = 0.5
    other = tmp_path / "other.json.gz"
    other.write_bytes(gzip.compress(json.dumps(content).encode()))
    with pytest.raises(ValueError, match=r"other\.json\.gz has no patients of the task lungs under \w+: '99'"):
        ran(replace(study, output_dir=tmp_path / "out", results=other))


def test_the_command_packs_what_is_there(finished, tmp_path, capsys):
    study, path = finished
    asked = ["study", str(ROOT / "studies/smoke.json"), "--pack", str(tmp_path / "new/packed.json.gz")]
    assert main([*asked, "--output_dir", str(study.output_dir)]) == 0
    assert (tmp_path / "new/packed.json.gz").read_bytes() == path.read_bytes()
    assert f"results: {tmp_path / 'new/packed.json.gz'}" in capsys.readouterr().out
    assert main([*asked, "--output_dir", str(tmp_path / "nothing")]) == 2
    assert "has no finished cell; run the study before" in capsys.readouterr().err
    assert not (tmp_path / "nothing").exists()


def test_the_command_comes_to_its_table_without_training(finished, tmp_path, capsys):
    study, path = finished
    smoke, out = str(ROOT / "studies/smoke.json"), ["--output_dir", str(tmp_path)]
    data = study.tasks[0].dataset_dir
    same = ["--labels", "[2]", "--tune", '{"lr": [1e-4, 1e-3]}', "--results", str(path)]
    same += ["--tasks#lungs#dataset_dir", data, "--tasks#lungs#test_share", "0.5"]
    for method in study.pretraining:
        same += [f"--pretraining#{method.name}#dataset_dir", method.dataset_dir]
    assert main(["study", smoke, *out, *same]) == 0
    told = capsys.readouterr().out
    assert "0 jobs failed" in told and "results taken from packed.json.gz" in told
    assert summary_text(tmp_path / "summary.csv") in told
    assert main(["study", smoke, *out, "--report-only"]) == 0
    assert capsys.readouterr().out.startswith(summary_text(tmp_path / "summary.csv"))


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.name)
def test_committed_results_are_those_of_the_page(path, tmp_path):
    """What a clone takes tells what ``docs/evidence.md`` tells, and the study file names it."""
    name = path.name.removesuffix(".json.gz")
    assert json.loads((ROOT / f"studies/{name}.json").read_text())["results"] == f"results/{path.name}"
    folder = StudyFolder(tmp_path)
    results = json.loads(gzip.decompress(path.read_bytes()))
    for key, result in results.items():
        if "score" in result:
            folder.cell(key).root.mkdir(parents=True)
            folder.cell(key).result.write_text(json.dumps(result))
    told = json.loads(evidence.TABLE.read_text())[name]["rows"]
    rows = compare(read_cells(folder)[0])
    assert len(rows) == len(told)
    for row, line in zip(rows, told, strict=True):
        assert (row.labels, row.scheme, row.method, row.seeds) == tuple(
            line[key] for key in ("labels", "scheme", "method", "seeds")
        )
        assert row.mean == pytest.approx(line["mean"], rel=1e-3) and row.verdict == line.get("verdict", "")
        if "p_holm" in line:
            assert row.p_holm == pytest.approx(line["p_holm"], rel=1e-2)
