"""Patients of a study: fixed test, nested labels, nobody of the test in pre-training, keys that follow the content."""

import json
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_ssl.data.cases import patient_of
from monai_ssl.data.pretraining import PretrainingScans
from monai_ssl.store import Store
from monai_ssl.study.cohorts import Cohort, ContentHashes, fix_split, read_cohort, subsets, write_list
from monai_ssl.study.folder import StudyFolder
from monai_ssl.study.jobs import PretrainingJob
from monai_ssl.study.matrix import SCRATCH
from monai_ssl.study.plan import check_study
from monai_ssl.study.pseudonyms import Pseudonyms
from monai_ssl.study.study_data import prepare_study
from monai_ssl.tasks import Classification, Regression
from tests.study.test_plan import SMOKE, changed


def study_of(root, out, **changes):
    content = changed(**changes)
    for method in content["pretraining"].values():
        method["dataset_dir"] = str(root / "imagesTr")
    content["tasks"]["lungs"]["dataset_dir"] = str(root)
    return replace(check_study(content, SMOKE.parent), output_dir=out)


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    root = tmp_path_factory.mktemp("volumes")
    rng = np.random.default_rng(0)
    for name in ("imagesTr", "labelsTr"):
        (root / name).mkdir()
    for i in range(8):
        image = rng.integers(-1000, 1000, (12, 12, 10)).astype(np.int16)
        for name, array in (("imagesTr", image), ("labelsTr", (image > 500).astype(np.uint8))):
            nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), root / name / f"pt{i}.nii.gz")
    return root


@pytest.fixture(scope="module")
def prepared(volumes, tmp_path_factory):
    out = tmp_path_factory.mktemp("study")
    study = study_of(volumes, out)
    return study, StudyFolder(out), prepare_study(study, StudyFolder(out))


def test_sections_are_apart_and_fixed(volumes, prepared):
    _study, folder, ready = prepared
    parts = ready.cohorts["lungs"].patients()
    everyone = [patient for patients in parts.values() for patient in patients]
    assert sorted(everyone) == [f"pt{i}" for i in range(8)]
    assert len(parts["test"]) == 2 and len(parts["validation"]) == 2
    who = json.loads((folder.root / "private/patients.json").read_text())
    for section, hidden in json.loads(folder.split.read_text())["lungs"].items():
        assert sorted(who[name] for name in hidden) == parts[section] and not set(hidden) & set(everyone)


def test_the_matrix(prepared):
    _, folder, ready = prepared
    cells = ready.cells
    assert len(cells) == 12 and len({job.key for job in ready.jobs}) == 14
    assert {(c.method, c.labels, c.seed) for c in cells} == {
        (m, n, s) for m in (SCRATCH, "models_genesis", "rotation") for n in (1, 3) for s in (0, 1)
    }
    keys = {job.method: job.key for job in ready.jobs if isinstance(job, PretrainingJob)}
    for cell in cells:
        assert cell.pretraining == keys.get(cell.method)
        assert cell.needs == ((cell.pretraining,) if cell.pretraining else ())
        assert folder.read_job(cell.key) == cell
        assert cell.recipe["widths"] == [4, 8, 16, 32]


def test_labels_are_nested_and_the_same_for_all_methods(prepared):
    _, study_folder, ready = prepared
    cells = ready.cells
    secret = Pseudonyms(study_folder.root)
    test = set(map(secret.of, ready.cohorts["lungs"].patients()["test"]))
    for seed in (0, 1):
        chosen = {}
        for cell in cells:
            if cell.seed != seed:
                continue
            listed = json.loads(Path(cell.overrides["datalist"]).read_text())
            patients = {case["patient"] for case in listed["training"]}
            assert chosen.setdefault(cell.labels, patients) == patients
            assert len(patients) == cell.labels and not patients & test
            assert {case["patient"] for case in listed["test"]} == test
        assert chosen[1] < chosen[3]


def test_cells_of_other_patients_have_other_lists(prepared, tmp_path):
    study, _, _ = prepared
    named = replace(study, tasks=(replace(study.tasks[0], name="lungs.v2"),), output_dir=tmp_path)
    cells = prepare_study(named, StudyFolder(tmp_path)).cells
    assert len({cell.overrides["datalist"] for cell in cells}) == len({(c.labels, c.seed) for c in cells}) == 4


def test_the_bundle_reads_the_list(volumes, prepared):
    study, _, ready = prepared
    (cell, *_) = (job for job in ready.cells if job.labels == 3)
    for section in ("training", "validation", "test"):
        cases = study.tasks[0].task.cases(section, ".", cell.overrides["datalist"])
        listed = json.loads(Path(cell.overrides["datalist"]).read_text())[section]
        assert [case["patient"] for case in cases] == [case["patient"] for case in listed]


def trained_on(study, folder, ready):
    job = next(job for job in ready.jobs if isinstance(job, PretrainingJob))
    return left_in(job.overrides, folder.root)


def left_in(options, root):
    """Hashes of the files that a pre-training sees."""
    scans = PretrainingScans(options["dataset_dir"], root, 3, validation=0, exclude=options["exclude"])
    sources = {json.loads(p.read_text())["source_hash"] for p in Path(options["dataset_dir"]).glob("scans/*/*.json")}
    kept = {scan.key for scan in scans.train}
    records = json.loads((Path(options["dataset_dir"]) / "manifest.json").read_text())["scans"]
    assert sources
    return {record["source_hash"] for record in records if record["key"] in kept}


def test_no_test_patient_is_pretrained_on(prepared):
    study, folder, ready = prepared
    hashes = ContentHashes(folder.root / "other.json")
    seen = trained_on(study, folder, ready)
    test = {hashes.of(case["image"]) for case in ready.cohorts["lungs"].test}
    rest = {hashes.of(case["image"]) for case in ready.cohorts["lungs"].training}
    assert not seen & test and rest <= seen
    assert ready.held_back == {"models_genesis": 2, "rotation": 2}


def test_copies_under_other_names_are_found_by_content(volumes, prepared, tmp_path):
    study, _, ready = prepared
    (tmp_path / "raw").mkdir()
    for i, path in enumerate(sorted((volumes / "imagesTr").iterdir())):
        shutil.copy(path, tmp_path / "raw" / f"renamed{i + 100}.nii.gz")
    methods = tuple(replace(method, dataset_dir=str(tmp_path / "raw")) for method in study.pretraining)
    out = StudyFolder(tmp_path / "out")
    again = prepare_study(replace(study, pretraining=methods, output_dir=out.root), out)
    assert again.held_back == {"models_genesis": 2, "rotation": 2}
    # the same content is the same pre-training, wherever it lies
    assert {job.key for job in again.jobs} == {job.key for job in ready.jobs}


def test_changed_scans_are_found_by_name(volumes, prepared, tmp_path):
    study, _, _ready = prepared
    for name in ("imagesTr", "labelsTr"):
        shutil.copytree(volumes / name, tmp_path / "raw" / name)
    for path in (tmp_path / "raw/imagesTr").iterdir():
        image = nibabel.load(path)
        nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj) + 1, np.eye(4)), path)
    methods = tuple(replace(m, dataset_dir=str(tmp_path / "raw/imagesTr")) for m in study.pretraining)
    out = StudyFolder(tmp_path / "out")
    again = prepare_study(replace(study, pretraining=methods, output_dir=out.root), out)
    assert again.held_back == {"models_genesis": 2, "rotation": 2}


def test_a_leak_must_be_asked_for(prepared, tmp_path):
    study, _, ready = prepared
    out = StudyFolder(tmp_path / "out")
    leaky = prepare_study(replace(study, allow_leak=True, output_dir=out.root), out)
    assert leaky.held_back == {"models_genesis": 0, "rotation": 0}
    assert len(trained_on(study, out, leaky)) == 8
    assert not {job.key for job in leaky.jobs if job.needs} & {job.key for job in ready.jobs if job.needs}


def keys(study, tmp_path, name):
    out = StudyFolder(tmp_path / name)
    return {job.title: job.key for job in prepare_study(replace(study, output_dir=out.root), out).jobs}


def test_keys_follow_what_decides_the_result(volumes, prepared, tmp_path):
    study, _folder, ready = prepared
    base = {job.title: job.key for job in ready.jobs}
    assert keys(study, tmp_path, "same") == base
    (task,) = study.tasks
    slower = keys(replace(study, tasks=(replace(task, overrides={**task.overrides, "lr": 0.1}),)), tmp_path, "lr")
    assert all((slower[t] == base[t]) is t.startswith("pre-training") for t in base)
    first, second = study.pretraining
    longer = replace(first, overrides={**first.overrides, "max_epochs": 9})
    other = keys(replace(study, pretraining=(longer, second)), tmp_path, "epochs")
    assert {t for t in base if other[t] != base[t]} == {t for t in base if "models_genesis" in t}
    best = keys(replace(study, select="best"), tmp_path, "best")
    assert all((best[t] == base[t]) is t.startswith("pre-training") for t in base)
    twice = keys(replace(study, target_bn_batches=3), tmp_path, "twice")
    assert all((twice[t] == base[t]) is t.startswith("pre-training") for t in base)


def test_changed_labels_change_the_key(volumes, prepared, tmp_path):
    study, _, ready = prepared
    shutil.copytree(volumes, tmp_path / "data")
    for path in (tmp_path / "data/labelsTr").iterdir():
        label = nibabel.load(path)
        nibabel.save(nibabel.Nifti1Image(1 - np.asarray(label.dataobj), np.eye(4)), path)
    (task,) = study.tasks
    now = keys(replace(study, tasks=(replace(task, dataset_dir=str(tmp_path / "data")),)), tmp_path, "out")
    base = {job.title: job.key for job in ready.jobs}
    assert all((now[t] == base[t]) is t.startswith("pre-training") for t in base)


def test_a_study_refuses_changed_patients(volumes, prepared, tmp_path):
    _study, folder, ready = prepared
    cohort = ready.cohorts["lungs"]
    hide = Pseudonyms(folder.root)
    fewer = Cohort(cohort.training[1:], cohort.validation, cohort.test)
    with pytest.raises(ValueError, match=r"differ from those in .*split\.json, with which this study began"):
        fix_split({"lungs": fewer}, folder.split, hide)
    fix_split({"another": fewer}, folder.split, hide)
    assert json.loads(folder.split.read_text()).keys() == {"lungs", "another"}
    fix_split(ready.cohorts, folder.split, hide)
    # as version 0.1 wrote it
    folder.split.write_text(json.dumps({"lungs": cohort.patients()}))
    fix_split(ready.cohorts, folder.split, hide)
    assert "pt0" not in folder.split.read_text()


def test_a_patient_in_two_sections_is_refused(volumes, prepared, tmp_path):
    study, _, _ = prepared
    (task,) = study.tasks
    entry = {"image": "imagesTr/pt0.nii.gz", "label": "labelsTr/pt0.nii.gz"}
    more = [{"image": f"imagesTr/pt{i}.nii.gz", "label": f"labelsTr/pt{i}.nii.gz"} for i in range(1, 4)]
    (tmp_path / "list.json").write_text(json.dumps({"training": [entry, *more], "test": [entry]}))
    with pytest.raises(ValueError, match=r"has the patient 'pt0' in training and in test"):
        read_cohort(replace(task, datalist=str(tmp_path / "list.json")), volumes)


def test_too_few_patients(prepared, volumes):
    study, _, ready = prepared
    with pytest.raises(ValueError, match=r"`labels` for `tasks#lungs`: .* patients from 1 to 4"):
        subsets(ready.cohorts["lungs"], [5], 0, study.tasks[0])
    (task,) = study.tasks
    with pytest.raises(ValueError, match="has too few patients to keep 6 for the test and 2 for validation"):
        read_cohort(replace(task, test_share=0.8), volumes)


def said(**task):
    """What a study file says of a task."""
    return SimpleNamespace(**{"name": "t", "imbalance": None, "copies": {}} | task)


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(1, 12) | st.floats(0.05, 0.95) | st.just("all"), min_size=1), seed=st.integers(0, 99))
def test_subsets_are_nested_and_copies_go_with_their_patient(sizes, seed):
    cohort = Cohort(tuple({"image": f"{i}.nii", "label": i % 2} for i in range(12)), (), ())
    found = subsets(cohort, sizes, seed, said(copies={1: 2}))
    numbers = [sorted(case.get("copy", 0) for case in cases if case["label"]) for cases in found.values()]
    assert all(of == sorted([0, 1, 2] * (len(of) // 3)) for of in numbers)
    assert not any("copy" in case for cases in found.values() for case in cases if not case["label"])
    assert all(len({case["image"] for case in cases}) == count for count, cases in found.items())
    ordered = [{case["image"] for case in found[count]} for count in sorted(found)]
    assert all(small <= large for small, large in pairwise(ordered))


def test_copies_make_up_for_rare_images_that_are_too_few_and_only_then():
    cases = tuple({"image": f"{i}.png", "label": int(i < 3)} for i in range(23))
    found = subsets(Cohort(cases, (), ()), [8, 16, 24, "all"], 0, said(imbalance=0.5, copies={1: 2}))
    picked = {n: [case.get("copy", 0) for case in chosen if case["label"]] for n, chosen in found.items()}
    assert {n: (len(of), sum(number == 0 for number in of)) for n, of in picked.items()} == {
        8: (3, 3),  # of the originals alone
        16: (5, 3),
        24: (8, 3),
        28: (9, 3),  # all there are: 3 of the images, and 6 copies
    }
    names = [{(case["image"], case.get("copy", 0)) for case in found[n]} for n in sorted(found)]
    assert all(small < large for small, large in pairwise(names))
    assert all(len(of) == n for n, of in zip(sorted(found), names, strict=True))
    with pytest.raises(ValueError, match="are of the rare class"):
        subsets(Cohort(cases, (), ()), [8], 0, said(imbalance=0.5, copies={0: 2}))


def test_imbalanced_subsets_have_their_ratio_count_images_and_nest():
    """Of 6 rare and 34 other images, three a patient; at a ratio of 0.25 at most 32 fit, with 6 rare ones (6.4)."""
    cases = [{"image": f"{i}.png", "label": int(i < 6), "patient": f"p{i // 3}"} for i in range(40)]
    found = subsets(Cohort(tuple(cases), (), ()), [5, 0.5, "all"], 0, said(imbalance=0.25))
    assert sorted(found) == [5, 16, 32]
    assert [sum(case["label"] for case in found[n]) for n in (5, 16, 32)] == [1, 3, 6]
    images = [{case["image"] for case in found[n]} for n in (5, 16, 32)]
    assert images[0] < images[1] < images[2]
    assert found != subsets(Cohort(tuple(cases), (), ()), [5, 0.5, "all"], 1, said(imbalance=0.25))
    with pytest.raises(ValueError, match="`labels` for `tasks#t`: A size must be a number of patients from 1 to 32"):
        subsets(Cohort(tuple(cases), (), ()), [33], 0, said(imbalance=0.25))
    with pytest.raises(ValueError, match=r"`imbalance` is for classifications of two classes, .* have 1"):
        subsets(Cohort(tuple(cases[6:]), (), ()), [5], 0, said(imbalance=0.25))


@pytest.mark.parametrize(
    ("task", "columns", "row"),
    [
        (Classification(["a", "b"]), "label", lambda i: "ab"[i % 2]),
        (Classification(["a", "b"], multilabel=True), "a,b", lambda i: f"{i % 2},1"),
        (Regression("age"), "age", lambda i: 40 + i // 2),
    ],
)
def test_lists_of_whole_images(tmp_path, prepared, task, columns, row):
    study, _, _ = prepared
    for i in range(12):
        (tmp_path / f"{i}.png").write_bytes(b"x")
    rows = [f"{i}.png,p{i // 2},{row(i)}" for i in range(12)]
    (tmp_path / "datalist.csv").write_text("\n".join([f"image,patient,{columns}", *rows]))
    task = replace(study.tasks[0], task=task)
    cohort = read_cohort(task, tmp_path)
    parts = cohort.patients()
    assert sorted(p for patients in parts.values() for p in patients) == [f"p{i}" for i in range(6)]
    written = tmp_path / "out" / "list.json"
    some = [case for case in cohort.training if patient_of(case) in parts["training"][:2]]
    write_list(task, cohort, some, written)
    for section in ("training", "validation", "test"):
        cases = task.task.cases(section, tmp_path, written)
        assert cases == list(some if section == "training" else getattr(cohort, section))


def test_hashes_are_remembered_until_a_file_changes(tmp_path, monkeypatch):
    hashes = ContentHashes(tmp_path / "hashes.json")
    (tmp_path / "a").write_text("one")
    first = hashes.of(tmp_path / "a")
    hashes.save()
    monkeypatch.setattr("monai_ssl.study.cohorts.content_hash", lambda files: pytest.fail("read again"))
    assert ContentHashes(tmp_path / "hashes.json").of(tmp_path / "a") == first
    monkeypatch.undo()
    (tmp_path / "a").write_text("other")
    assert hashes.of(tmp_path / "a") != first


def test_phantoms_are_made_once(tmp_path):
    study = check_study(changed(pretraining={}, shared={}, labels=["all"]), SMOKE.parent)
    folder = StudyFolder(tmp_path)
    first = prepare_study(study, folder)
    stamp = folder.phantoms("ct").stat().st_mtime_ns
    assert prepare_study(study, folder).jobs == first.jobs and folder.phantoms("ct").stat().st_mtime_ns == stamp
    assert {job.method for job in first.jobs} == {SCRATCH}
    wrong = replace(study, tasks=(replace(study.tasks[0], dataset_dir="phantoms:pet"),))
    with pytest.raises(ValueError, match="phantoms are phantoms:ct or phantoms:xray"):
        prepare_study(wrong, folder)
    assert not Store.is_store(tmp_path)


def test_a_pretraining_for_each_seed(prepared, tmp_path):
    study, _, ready = prepared
    out = StudyFolder(tmp_path / "out")
    study = replace(study, seeds=(0, 7), pretrain="per_seed", output_dir=out.root)
    again = prepare_study(study, out)
    jobs = {job.key: job for job in again.jobs}
    trained = {job.title: job for job in jobs.values() if isinstance(job, PretrainingJob)}
    names = [f"pre-training {method}, seed {seed}" for method in ("models_genesis", "rotation") for seed in (0, 7)]
    assert sorted(trained) == sorted(names)
    assert {t: job.overrides["seed"] for t, job in trained.items()} == {t: int(t[-1]) for t in names}
    assert {job.seed for job in again.cells} == {0, 7}
    for job in again.cells:
        expected = f"pre-training {job.method}, seed {job.seed}"
        assert (jobs[job.needs[0]].title if job.needs else SCRATCH) in (expected, job.method)
    assert not trained.keys() & {job.title for job in ready.jobs}


def test_labeled_patients_are_left_out_of_their_pretraining_where_asked(volumes, prepared, tmp_path):
    study, _, ready = prepared
    out = StudyFolder(tmp_path / "out")
    study = replace(study, seeds=(0, 7), labels=(1, 3), leave_out_labeled=True, output_dir=out.root)
    again = prepare_study(study, out)
    jobs = {job.key: job for job in again.jobs}
    assert len(jobs) == len(again.jobs) and again.held_back == ready.held_back
    hashes = {ContentHashes(tmp_path / "hashes").of(path): path.name for path in (volumes / "imagesTr").iterdir()}
    seen = set()
    for cell in (cell for cell in again.cells if cell.needs):
        (needed,) = (jobs[key] for key in cell.needs)
        trained = {hashes[content] for content in left_in(needed.overrides, tmp_path)}
        sections = json.loads(Path(cell.overrides["datalist"]).read_text())
        used = {Path(case["image"]).name for part in ("training", "test") for case in sections[part]}
        others = {path.name for path in (volumes / "imagesTr").iterdir()} - used
        assert trained == others and len(sections["training"]) == cell.labels
        seen.add((cell.method, cell.seed, cell.labels, needed.key))
    # cells of the same seed and labels share a pre-training, others have their own
    assert len({key for *_, key in seen}) == len(seen) == len(study.pretraining) * 4


def test_reencoded_copies_are_found_by_voxels(volumes, prepared, tmp_path):
    """Renamed, unpacked, as fractions, with other axes: the voxels are the same."""
    study, _, _ = prepared
    (tmp_path / "raw").mkdir()
    for i, path in enumerate(sorted((volumes / "imagesTr").iterdir())):
        image = nibabel.load(path)
        array = np.asarray(image.dataobj).astype((np.float32, np.float64, np.int32)[i % 3])
        copy = nibabel.Nifti1Image(array[::-1], np.diag([-1.0, 1, 1, 1]))
        nibabel.save(copy, tmp_path / "raw" / f"other{100 + i}.nii")
    methods = tuple(replace(method, dataset_dir=str(tmp_path / "raw")) for method in study.pretraining)
    out = StudyFolder(tmp_path / "out")
    again = prepare_study(replace(study, pretraining=methods, output_dir=out.root), out)
    assert again.held_back == {"models_genesis": 2, "rotation": 2}


def test_no_name_of_a_patient_stands_where_others_can_read(prepared):
    _, folder, _ = prepared
    open_files = [
        p for p in folder.root.rglob("*") if p.is_file() and "private" not in p.relative_to(folder.root).parts
    ]
    assert open_files and not [p for p in open_files if b"pt0" in p.read_bytes() or b"pt5" in p.read_bytes()]
    private = [p for p in folder.root.rglob("private") if p.is_dir()]
    assert private and all(p.stat().st_mode & 0o077 == 0 for p in private)
