"""Preparing: complete, resumable, private, and one bad file stops none of the others."""

import errno
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from files import CT, cut, nifti, save_series, series, stored
from PIL import Image

import monai_ssl
from monai_ssl.files import read_json
from monai_ssl.store import PrepareOptions, Store, prepare, write_sheet
from monai_ssl.store.conversion import convert as convert_module
from monai_ssl.store.conversion import dask_pool
from monai_ssl.store.conversion.dask_pool import DaskPool
from monai_ssl.store.conversion.pool import WorkerKilledError, WorkerPool
from monai_ssl.store.layout import create_store, locked, store_secret
from monai_ssl.store.selection import holds_labels, looks_like_labels

HERE = PrepareOptions(workers=0)


def ct(seed=0, shape=(10, 12, 8)):
    array = np.random.default_rng(seed).integers(-1000, 1000, shape).astype(np.int16)
    array[0, 0, 0] = -1000
    return array


def mr(seed=0, shape=(10, 12, 8)):
    return np.random.default_rng(seed).integers(0, 900, shape).astype(np.int16)


def manifest(store):
    return read_json(store / "manifest.json")


def test_a_mixed_tree(tmp_path):
    src, store = tmp_path / "src", tmp_path / "store"
    nifti(src / "anna" / "t1.nii.gz", mr())
    nifti(src / "bob" / "ct.nii.gz", ct())
    save_series(series(stored(), sop_class=CT, PatientID="SECRET-77", PatientName="DOE"), src / "cy" / "1")
    (src / "dora").mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (9, 7), np.uint8)).save(src / "dora" / "x.png")
    report = prepare(src, store, HERE)
    assert len(report.prepared) == 4 and not report.failed and report.patients == 4
    found = {(s.modality, s.spatial_dims, s.dtype.name) for s in Store(store)}
    assert found == {("mr", 3, "int16"), ("ct", 3, "int16"), ("image", 2, "uint8")}
    np.testing.assert_array_equal(Store(store).select(modality="mr")[0].raw()[0], mr())
    assert "1 mr, judged by the values" in report.table() and "4 scans of 4 patients" in report.table()


def test_nothing_outside_private_names_a_patient(tmp_path):
    src, store = tmp_path / "src", tmp_path / "store"
    nifti(src / "anna_smith" / "t1.nii.gz", mr())
    save_series(series(stored(), PatientID="SECRET77", PatientName="DOE^JANE"), src / "1")
    (src / "anna_smith" / "bad_anna.nii.gz").write_text("no image")
    prepare(src, store, HERE)
    for path in store.rglob("*"):
        if "private" in path.parts or path.is_dir():
            continue
        content = str(path.relative_to(store)).encode() + path.read_bytes()
        assert not any(word in content.lower() for word in (b"anna", b"secret", b"doe", b"jane", b"src")), path
    assert "anna_smith/t1.nii.gz" in (store / "private" / "sources.json").read_text()
    for path in (store / "private").iterdir():
        if path.name != "lock":
            assert path.stat().st_mode & 0o077 == 0, path
    assert (store / "private").stat().st_mode & 0o077 == 0


def test_again_only_what_is_new(tmp_path, monkeypatch):
    src, store = tmp_path / "src", tmp_path / "store"
    for i in range(3):
        nifti(src / f"p{i}.nii.gz", ct(i))
    prepare(src, store, HERE)
    before = {path: path.stat().st_mtime_ns for path in (store / "scans").glob("*/*")}
    nifti(src / "p3.nii.gz", ct(3))
    hashed = []
    real = convert_module.content_hash
    monkeypatch.setattr(convert_module, "content_hash", lambda files: hashed.append(files) or real(files))
    report = prepare(src, store, HERE)
    assert len(report.prepared) == 1 and report.already == 3 and report.scans == 4
    assert len(hashed) == 1, "what has the same size and time is not read again"
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())


def test_the_store_follows_content_not_names(tmp_path):
    for name in ("one", "two"):
        nifti(tmp_path / name / f"{name}.nii.gz", ct())
    first = prepare(tmp_path / "one", tmp_path / "store", HERE)
    second = prepare(tmp_path / "two", tmp_path / "store", HERE)
    assert second.prepared == [] and second.already == 1 and first.scans == second.scans == 1


def test_same_content_twice_is_one_scan_of_the_first_by_name(tmp_path):
    src = tmp_path / "src"
    for name in ("b/x.nii.gz", "a/y.nii.gz", "c/z.nii.gz"):
        nifti(src / name, ct())
    nifti(src / "a" / "other.nii.gz", ct(1))
    report = prepare(src, tmp_path / "store", HERE)
    assert report.duplicates == [("b/x.nii.gz", "a/y.nii.gz"), ("c/z.nii.gz", "a/y.nii.gz")]
    assert report.scans == 2 == len(report.prepared) and report.already == 0 and report.patients == 1


def test_options_change_the_keys_and_bind_the_store(tmp_path):
    src = tmp_path / "src"
    nifti(src / "a.nii.gz", ct())
    one = prepare(src, tmp_path / "native", HERE)
    two = prepare(src, tmp_path / "coarse", PrepareOptions(workers=0, spacing=(2, 2, 2)))
    assert one.prepared != two.prepared
    scan = Store(tmp_path / "coarse")[0]
    assert scan.shape == (1, 5, 6, 8) and scan.spacing == (2, 2, 2) and scan.dtype == np.int16
    with pytest.raises(ValueError, match=r"was prepared with spacing=None \(now \[2.0, 2.0, 2.0\]\)"):
        prepare(src, tmp_path / "native", PrepareOptions(workers=0, spacing=(2, 2, 2)))


def test_bad_scans_are_reported_and_the_others_go_on(tmp_path):
    src = tmp_path / "src"
    cut(nifti(src / "a_cut.nii.gz", ct(0, (30, 30, 30))))
    nifti(src / "b_flat.nii.gz", np.full((9, 9, 9), 5, np.int16))
    holes = mr(1).astype(np.float32) + 0.5
    holes[:4] = np.nan
    nifti(src / "c_holes.nii.gz", holes)
    nifti(src / "d_normalized.nii.gz", np.random.default_rng(0).random((9, 9, 9)).astype(np.float32))
    (src / "e_text.nii.gz").write_text("this is no image")
    nifti(src / "f_good.nii.gz", ct(2))
    nifti(src / "g_4d.nii.gz", np.stack([mr(i) for i in range(3)], -1))
    report = prepare(src, tmp_path / "store", PrepareOptions(workers=0, modality="ct"))
    reasons = dict(report.failed)
    assert len(report.prepared) == 1 and len(reasons) == 6
    assert "all voxels have the value 5" in reasons["b_flat.nii.gz"]
    assert "40.0% of the voxels are NaN" in reasons["c_holes.nii.gz"]
    assert "cannot be HU" in reasons["d_normalized.nii.gz"]
    table = report.table()
    assert all(name in table for name in reasons)


def test_few_bad_voxels_are_replaced_and_noted(tmp_path):
    array = mr(0, (20, 20, 20)).astype(np.float32) + 0.25
    array[3, 4, 5], array[6, 7, 8] = np.nan, -np.inf
    nifti(tmp_path / "src" / "a.nii.gz", array)
    report = prepare(tmp_path / "src", tmp_path / "store", HERE)
    scan = Store(tmp_path / "store")[0]
    assert scan.raw()[0, 3, 4, 5] == scan.raw()[0, 6, 7, 8] == 0.25 and np.isfinite(scan.raw()).all()
    assert report.notes == [(scan.key, "2 voxels that were NaN or infinite were set to the minimum")]


def test_hu_are_rounded_and_clipped(tmp_path):
    array = ct().astype(np.float32)
    array[1, 1, 1:4] = -3024, 5000, 12.6
    nifti(tmp_path / "src" / "a.nii.gz", array)
    prepare(tmp_path / "src", tmp_path / "store", PrepareOptions(workers=0, modality="ct"))
    scan = Store(tmp_path / "store")[0]
    assert scan.dtype == np.int16
    assert scan.raw()[0, 1, 1, 1:4].tolist() == [-1024, 3071, 13]


def test_four_d_is_split_on_request(tmp_path):
    nifti(tmp_path / "src" / "a.nii.gz", np.stack([mr(i) for i in range(3)], -1))
    options = PrepareOptions(workers=0, four_d="split")
    first = prepare(tmp_path / "src", tmp_path / "store", options)
    assert len(first.prepared) == 3 and first.patients == 1
    again = prepare(tmp_path / "src", tmp_path / "store", options)
    assert again.already == 3 and again.scans == 3
    Store(tmp_path / "store")[1].path.unlink()
    assert len(prepare(tmp_path / "src", tmp_path / "store", options).prepared) == 3


def test_labels_are_not_trained_on_by_accident(tmp_path):
    src = tmp_path / "src"
    labels = (np.arange(960).reshape(10, 12, 8) // 320).astype(np.uint8)
    nifti(src / "imagesTr" / "p1.nii.gz", ct())
    nifti(src / "labelsTr" / "p1.nii.gz", labels)
    nifti(src / "more" / "p2_ct.nii.gz", ct(2))
    nifti(src / "more" / "p2_oar.nii.gz", labels)
    nifti(src / "more" / "p2_liver.nii.gz", labels[::-1].copy())
    report = prepare(src, tmp_path / "store", HERE)
    assert len(report.prepared) == 2 and not report.failed
    assert [name for name, _ in report.left_out] == [
        "labelsTr/p1.nii.gz", "more/p2_liver.nii.gz", "more/p2_oar.nii.gz"
    ]  # fmt: skip
    assert "left out" in report.table()
    only = prepare(src, tmp_path / "other", PrepareOptions(workers=0, include=("*_oar*",), modality="mr"))
    assert len(only.prepared) == 1
    less = prepare(src, tmp_path / "third", PrepareOptions(workers=0, exclude=("more/*",)))
    assert len(less.prepared) == 1


@pytest.mark.parametrize(
    ("name", "is_label"),
    [
        ("a/mask.nii.gz", True),
        ("Segmentation.seg.nrrd", True),
        ("pt_1_label.nii", True),
        ("x-seg.mha", True),
        ("a/Labels/x.nii.gz", True),
        ("pt_1_mask_02.nii.gz", True),
        ("sub-1_dseg.nii.gz", True),
        ("mri/aparc.DKTatlas+aseg.deep.nii", True),
        ("mri/brainmask.nii", False),
        ("pt_1_ct.nii.gz", False),
        ("masked_t1.nii.gz", False),
        ("unlabeled/x.nii.gz", False),
        ("series/1#ab12", False),
    ],
)
def test_names_of_labels(name, is_label):
    assert looks_like_labels(name) is is_label


def test_values_of_labels():
    assert holds_labels(np.arange(60, dtype=np.uint8).reshape(1, 3, 4, 5))
    assert not holds_labels(np.arange(-1, 59, dtype=np.int16).reshape(1, 3, 4, 5))
    assert not holds_labels(np.arange(120, dtype=np.int16).reshape(1, 4, 5, 6))
    assert not holds_labels(np.zeros((1, 3, 4, 5), np.float32))


def test_messages(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ValueError, match=r"empty holds no image that can be read: give a folder with DICOM"):
        prepare(empty, tmp_path / "store", HERE)
    assert not (tmp_path / "store").exists()
    with pytest.raises(ValueError, match="There is no folder"):
        prepare(tmp_path / "nope", tmp_path / "store", HERE)
    with pytest.raises(ValueError, match="is the source itself"):
        prepare(empty, empty, HERE)
    nifti(tmp_path / "src" / "a.nii.gz", ct())
    (empty / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="is not empty and not a store"):
        prepare(tmp_path / "src", empty, HERE)
    with pytest.raises(ValueError, match="is a file"):
        prepare(tmp_path / "src", empty / "thesis.txt", HERE)
    for wrong, message in [
        ({"modality": "pet"}, "`modality` must be one of auto, ct"),
        ({"spacing": (1, 1)}, "`spacing` must be three numbers"),
        ({"spacing": (1, 1, 0)}, "`spacing` must be three numbers"),
        ({"workers": -1}, "`workers` must be 0 or more"),
        ({"four_d": "x"}, "`four_d` must be one of refuse, split"),
    ]:
        with pytest.raises(ValueError, match=message):
            PrepareOptions(**wrong)


def test_two_preparations_at_once_are_refused(tmp_path):
    nifti(tmp_path / "src" / "a.nii.gz", ct())
    prepare(tmp_path / "src", tmp_path / "store", HERE)
    with (
        locked(tmp_path / "store"),
        pytest.raises(ValueError, match=rf"is being prepared by another process \(pid {os.getpid()} on"),
    ):
        prepare(tmp_path / "src", tmp_path / "store", HERE)
    assert prepare(tmp_path / "src", tmp_path / "store", HERE).already == 1


def test_a_damaged_store_is_repaired(tmp_path):
    for i in range(3):
        nifti(tmp_path / "src" / f"{i}.nii.gz", ct(i))
    first = prepare(tmp_path / "src", tmp_path / "store", HERE)
    before = manifest(tmp_path / "store")
    one, two, _ = (scan.path for scan in Store(tmp_path / "store"))
    cut(one)
    two.with_suffix(".json").unlink()
    (tmp_path / "store" / "manifest.json").unlink()
    for folder in (one.parent, one.parents[1]):
        (folder / ".aside-1-x.npy").write_text("half")
    again = prepare(tmp_path / "src", tmp_path / "store", HERE)
    assert again.prepared == first.prepared[:2] and again.already == 1
    assert manifest(tmp_path / "store") == before and not list(one.parents[1].rglob(".*"))


def test_a_store_inside_the_source_is_not_prepared_into_itself(tmp_path):
    nifti(tmp_path / "a.nii.gz", ct())
    prepare(tmp_path, tmp_path / "store", HERE)
    write_sheet(Store(tmp_path / "store").scans, tmp_path / "store" / "sheet.png")
    report = prepare(tmp_path, tmp_path / "store", HERE)
    assert (report.already, report.prepared, report.left_out, report.failed) == (1, [], [], [])


@pytest.mark.slow
def test_processes_give_what_one_gives(tmp_path):
    for i in range(5):
        nifti(tmp_path / "src" / f"{i}.nii.gz", ct(i))
    prepare(tmp_path / "src", tmp_path / "one", HERE)
    (tmp_path / "two" / "private").mkdir(parents=True, mode=0o700)
    (tmp_path / "two" / "private" / "secret").write_bytes((tmp_path / "one" / "private" / "secret").read_bytes())
    prepare(tmp_path / "src", tmp_path / "two", PrepareOptions(workers=2))
    assert manifest(tmp_path / "one") == manifest(tmp_path / "two")


def test_the_report_is_the_same_in_whatever_order_workers_end(tmp_path, monkeypatch):
    """Patients found in two ways, four by folders, the same file twice, the same voxels twice, files that fail."""
    src = tmp_path / "src"
    for number in range(4):
        nifti(src / f"p{number}" / "ct.nii.gz", ct(number % 3))
        save_series(series(stored(seed=number), sop_class=CT, PatientID=f"ID{number}"), src / f"id{number}" / "1")
        cut(nifti(src / f"p{number}" / "cut.nii.gz", ct(9)))
    forwards = prepare(src, tmp_path / "forwards", HERE).to_dict()
    run = WorkerPool.run
    monkeypatch.setattr(WorkerPool, "run", lambda self, jobs: list(run(self, jobs))[::-1])
    backwards = prepare(src, tmp_path / "backwards", HERE).to_dict()
    assert len(forwards["failed"]) == 4 and forwards["duplicates"] and len(forwards["patients_found"]) == 4
    for name, told in forwards.items():
        assert name == "store" or backwards[name] == told, name


def several(src):
    """Sources of two patients with the same bytes and with the same voxels, in four dimensions, labels, one broken."""
    for i in range(4):
        nifti(src / f"p{i}" / "ct.nii.gz", ct(i))
    nifti(src / "p4" / "copy.nii.gz", ct(1))
    nifti(src / "p0" / "copy.nii.gz", ct(3))
    nifti(src / "p3" / "own.nii.gz", ct(7))
    nifti(src / "p5" / "same_voxels.nii", ct(2))
    nifti(src / "p6" / "parts.nii.gz", np.stack([mr(i) for i in range(3)], -1))
    nifti(src / "p6" / "parts_label.nii.gz", ct())
    cut(nifti(src / "p7" / "cut.nii.gz", ct(9, (30, 30, 30))))


def content_of_store(store):
    kept = [*(store / "scans").glob("*/*"), store / "manifest.json"]
    kept += [store / "private" / name for name in ("hashes.json", "sources.json", "secret")]
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in kept}


def same_secret(one, two):
    (two / "private").mkdir(parents=True, mode=0o700)
    (two / "private" / "secret").write_bytes((one / "private" / "secret").read_bytes())


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1), (3, 2, 1)])
def test_shards_in_any_order_and_one_lost_give_the_store_of_one_machine(tmp_path, order):
    several(tmp_path / "src")
    whole = prepare(tmp_path / "src", tmp_path / "whole", PrepareOptions(workers=0, four_d="split"))
    store = tmp_path / "store"
    same_secret(tmp_path / "whole", store)
    for part in order:
        prepare(tmp_path / "src", store, PrepareOptions(workers=0, four_d="split", shard=(part, 3)))
    assert len(Store(store)) == 0, "a store of shards is none before it is complete"
    merged = prepare(tmp_path / "src", store, PrepareOptions(workers=0, four_d="split"))
    assert content_of_store(store) == content_of_store(tmp_path / "whole")
    assert (merged.scans, merged.patients, merged.duplicates) == (9, 5, whole.duplicates)
    assert len(merged.prepared) == 0 if len(order) == 3 else len(merged.prepared) > 0
    assert not [*(store / "private").glob("hashes-*")]


def test_shards_run_beside_each_other_and_not_beside_a_whole_run(tmp_path):
    nifti(tmp_path / "src" / "a.nii.gz", ct())
    nifti(tmp_path / "src" / "b.nii.gz", ct(1))
    shard = PrepareOptions(workers=0, shard=(2, 2))
    with pytest.raises(ValueError, match="`shard` must be i/n with i from 1 to n, got 3/2"):
        PrepareOptions(shard=(3, 2))
    prepare(tmp_path / "src", tmp_path / "store", shard)
    with locked(tmp_path / "store", shared=True):
        # in a process of its own, as the lock is held in this one
        run = [
            sys.executable,
            "-m",
            "monai_ssl",
            "prepare",
            str(tmp_path / "src"),
            str(tmp_path / "store"),
            "--workers=0",
        ]
        refused = subprocess.run(run, capture_output=True, text=True)
        beside = subprocess.run([*run, "--shard", "1/2"], capture_output=True, text=True)
    assert refused.returncode and "is being prepared by another process" in refused.stderr
    assert beside.returncode == 0 and "when all have ended: `python -m monai_ssl prepare" in beside.stdout
    assert prepare(tmp_path / "src", tmp_path / "store", HERE).already == 2
    with pytest.raises(ValueError, match="was prepared with modality=auto"):
        prepare(tmp_path / "src", tmp_path / "store", PrepareOptions(workers=0, modality="ct", shard=(1, 2)))


def test_machines_that_begin_at_once_agree_on_the_key_of_pseudonyms(tmp_path, monkeypatch):
    create_store(tmp_path)
    real = os.link

    def link(mine, there):
        # another machine was faster
        monkeypatch.setattr(os, "link", real)
        link.other = store_secret(tmp_path)
        real(mine, there)

    monkeypatch.setattr(os, "link", link)
    assert store_secret(tmp_path) == link.other and len(link.other) == 64
    assert [path.name for path in (tmp_path / "private").iterdir()] == ["secret"]


def test_a_disk_without_hard_links_keeps_a_store(tmp_path, monkeypatch):
    def refused(mine, there):
        raise PermissionError(errno.EPERM, "Operation not permitted", str(mine))

    monkeypatch.setattr(os, "link", refused)
    create_store(tmp_path)
    assert len(store_secret(tmp_path)) == 64 and store_secret(tmp_path) == store_secret(tmp_path)
    assert [path.name for path in (tmp_path / "private").iterdir()] == ["secret"]


def die_at_first(job: Path) -> str:
    if not job.exists():
        job.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return job.name


@pytest.mark.slow
def test_a_cluster_gives_the_store_of_one_machine(tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed")
    several(tmp_path / "src")
    prepare(tmp_path / "src", tmp_path / "whole", PrepareOptions(workers=0, four_d="split"))
    same_secret(tmp_path / "whole", tmp_path / "store")
    threads = {"processes": False, "protocol": "tcp", "host": "127.0.0.1", "dashboard_address": None}
    with distributed.LocalCluster(2, threads_per_worker=1, **threads) as nodes:
        monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", nodes.scheduler_address)
        monkeypatch.chdir(tmp_path)
        prepare("src", "store", PrepareOptions(four_d="split", backend="dask"))
    assert content_of_store(tmp_path / "store") == content_of_store(tmp_path / "whole")


@pytest.mark.slow
def test_what_a_lost_worker_of_a_cluster_did_is_taken_up_by_others(tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as nodes:
        monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", nodes.scheduler_address)
        lost = tmp_path / "lost once"
        assert dict(DaskPool(die_at_first).run([lost])) == {lost: "lost once"}
        nodes.scheduler.allowed_failures = 0
        assert isinstance(dict(DaskPool(die_on_three).run([3]))[3], WorkerKilledError)


def squared(job: int) -> int:
    return job * job


def test_a_cluster_that_lost_all_workers_is_waited_for_with_a_sentence(monkeypatch, caplog):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(dask_pool, "_LOOK_SECONDS", 0.2)
    threads = {"processes": False, "protocol": "tcp", "host": "127.0.0.1", "dashboard_address": None}
    with distributed.LocalCluster(1, threads_per_worker=1, **threads) as nodes:
        monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", nodes.scheduler_address)
        said = []

        def lose_all() -> None:
            nodes.scale(0)
            while nodes.scheduler.workers:
                time.sleep(0.01)

        def more(record: logging.LogRecord) -> bool:
            if record.name == "monai_ssl.dask_client":
                said.append(record.getMessage())
                nodes.scale(1)
            return True

        caplog.handler.addFilter(more)

        def jobs() -> Iterator[int]:
            yield 3
            lose_all()
            yield 4

        lose_all()
        assert sorted(result for _, result in DaskPool(squared).run(jobs())) == [9, 16]
    assert len(said) == 2 and all("has no workers: nothing is done until some join it" in text for text in said)


def test_without_dask_one_is_told_what_to_install(monkeypatch):
    for name in ("dask", "distributed"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match="needs Dask: `pip install distributed`"):
        next(DaskPool(squared).run([1]))


def die_on_three(job: int) -> int:
    if job == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return job * job


@pytest.mark.slow
def test_a_killed_worker_costs_its_own_job_only():
    jobs = iter(range(12))
    results = dict(WorkerPool(die_on_three, 2).run(jobs))
    assert isinstance(results.pop(3), WorkerKilledError)
    assert results == {job: job * job for job in range(12) if job != 3}


def descendants(pid: int) -> list[int]:
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return children + [other for child in children for other in descendants(child)]


def running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] != "Z"


@pytest.mark.slow
def test_killed_and_run_again_gives_the_same_store(tmp_path):
    for i in range(24):
        nifti(tmp_path / "src" / f"{i:02d}.nii.gz", ct(i, (64, 64, 48)))
    command = [sys.executable, "-m", "monai_ssl", "prepare", str(tmp_path / "src"), "--workers", "2", "--json"]
    subprocess.run([*command, str(tmp_path / "whole")], check=True, capture_output=True)
    killed = tmp_path / "killed"
    (killed / "private").mkdir(parents=True, mode=0o700)
    (killed / "private" / "secret").write_bytes((tmp_path / "whole" / "private" / "secret").read_bytes())
    process = subprocess.Popen([*command, str(killed)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(list((killed / "scans").glob("*/[!.]*.json"))) < 6:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.005)
    family = descendants(process.pid)
    assert len(family) >= 3, "a server and two workers"
    process.kill()
    process.wait()
    while any(running(pid) for pid in family):
        assert time.monotonic() < deadline, "workers outlive the process that they work for"
        time.sleep(0.01)
    done = len(list((killed / "scans").glob("*/[!.]*.json")))
    assert 6 <= done < 24
    for record in (killed / "scans").glob("*/[!.]*.json"):
        json.loads(record.read_text())
        assert np.load(record.with_suffix(".npy"), mmap_mode="r").shape == (1, 64, 64, 48)
    again = subprocess.run([*command, str(killed)], check=True, capture_output=True)
    report = json.loads(again.stdout)
    assert report["already"] >= done and report["already"] + len(report["prepared"]) == 24
    assert manifest(killed) == manifest(tmp_path / "whole")
    for path in (tmp_path / "whole" / "scans").glob("*/*"):
        assert path.read_bytes() == (killed / "scans" / path.parent.name / path.name).read_bytes()


@pytest.mark.slow
def test_a_script_needs_no_guard(tmp_path):
    nifti(tmp_path / "src" / "a.nii.gz", ct())
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom monai_ssl.store import PrepareOptions, prepare\n"
        "assert prepare(sys.argv[1], sys.argv[2], PrepareOptions(workers=1)).scans == 1\nprint('once')"
    )
    command = [sys.executable, str(script), str(tmp_path / "src"), str(tmp_path / "store")]
    env = {**os.environ, "PYTHONPATH": str(Path(monai_ssl.__file__).parents[1])}
    run = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, env=env)
    assert run.stdout == "once\n"


PEAK = """
import resource, sys
from monai_ssl.store import PrepareOptions, prepare
prepare(sys.argv[1], sys.argv[2], PrepareOptions(workers=2))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_scans(tmp_path):
    peaks = []
    for count in (4, 40):
        for i in range(count):
            # 4 MB each: 40 of them held would be 160 MB
            nifti(tmp_path / str(count) / f"{i:02d}.nii", np.resize(ct(i), (128, 128, 128)) + np.int16(i))
        arguments = [str(tmp_path / str(count)), str(tmp_path / f"store{count}")]
        run = subprocess.run([sys.executable, "-c", PEAK, *arguments], check=True, capture_output=True, text=True)
        peaks.append(int(run.stdout) / 1024)
    assert peaks[1] < peaks[0] + 40, peaks


def test_a_folder_named_as_a_patient_id_is_that_patient(tmp_path):
    src = tmp_path / "src"
    save_series(series(stored(), PatientID="case-5"), src / "dicom" / "series")
    nifti(src / "case-5" / "t1.nii.gz", mr())
    nifti(src / "case-6" / "t1.nii.gz", mr(1))
    report = prepare(src, tmp_path / "store", HERE)
    assert report.scans == 3 and report.patients == 2
