"""Jobs on disk: whole or not at all, never twice, whatever is killed when."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import fake_study
import pytest
from fabricated_study import cell, result
from mlflow.tracking import MlflowClient

from monai_ssl.files import write_json
from monai_ssl.study import locks
from monai_ssl.study.execution import execute, reason_of
from monai_ssl.study.folder import StudyFolder
from monai_ssl.study.jobs import job_from_json, job_to_json
from monai_ssl.study.mlflow_nesting import StudyRun, log_scores
from monai_ssl.study.parallel import Processes, pool, run_jobs, visible_gpus

JOB = cell(result(seed=3), "k1")


def results(root):
    found = {}
    for path in sorted(Path(root).glob("*/*/result.json")):
        found[path.parent.name] = json.loads(path.read_text())
    return found


def test_a_job_is_done_once(tmp_path):
    folder, calls = StudyFolder(tmp_path), []

    def work(job, folder, aside):
        calls.append(job.key)
        (aside.root / "extra.txt").write_text("x")
        return {"score": 0.5}

    assert execute(folder, JOB, work) == "done" and execute(folder, JOB, work) == "done"
    assert calls == ["k1"] and folder.is_done(JOB)
    assert results(tmp_path) == {"k1": {**JOB.facts(), "score": 0.5}}
    assert (folder.cell("k1").root / "extra.txt").read_text() == "x"
    assert not folder.under_way(JOB).root.exists() and not folder.lock(JOB).exists()


def test_a_failure_keeps_its_reason_and_is_tried_again(tmp_path):
    folder = StudyFolder(tmp_path)

    def fail(job, folder, aside):
        try:
            raise ValueError("`roi_size` is odd.")
        except ValueError as error:
            raise RuntimeError("while running") from error

    assert execute(folder, JOB, fail) == "failed"
    assert folder.failure(JOB) == "`roi_size` is odd." and not folder.is_done(JOB)
    assert execute(folder, JOB, lambda *_: {"score": 1.0}) == "done"
    assert folder.failure(JOB) is None and results(tmp_path)["k1"]["score"] == 1.0


def test_reasons_of_strangers_say_their_kind():
    assert reason_of(ZeroDivisionError("division")) == "ZeroDivisionError: division"
    assert reason_of(KeyError("`labels`")) == "KeyError: `labels`"


def test_jobs_come_back_from_disk(tmp_path):
    folder = StudyFolder(tmp_path)
    for job in (JOB, replace(JOB, key="k2", weights=Path("w.safetensors")), *fake_study.jobs(1, 1)):
        folder.write_job(job)
        assert folder.read_job(job.key) == job
    content = job_to_json(JOB)
    with pytest.raises(ValueError, match="Job k1 was written by another version of monai_ssl: run the study again"):
        job_from_json({name: content[name] for name in content if name != "task"})
    with pytest.raises(KeyError, match="has no job nobody: run"):
        folder.read_job("nobody")


def test_a_lock_is_held_by_one(tmp_path):
    with locks.held(tmp_path / "a") as first, locks.held(tmp_path / "a") as second, locks.held(tmp_path / "b") as other:
        assert first and not second and other
        assert execute(StudyFolder(tmp_path), JOB, lambda *_: {}) == "done"
        assert json.loads((tmp_path / "a").read_text())["pid"] == os.getpid()
    assert not (tmp_path / "a").exists()
    with locks.held(tmp_path / "a") as again:
        assert again


def test_busy_elsewhere(tmp_path):
    with locks.held(StudyFolder(tmp_path).lock(JOB)):
        assert execute(StudyFolder(tmp_path), JOB, lambda *_: pytest.fail("twice")) == "busy"


def dead_process():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


@pytest.mark.parametrize(
    ("owner", "age", "taken"),
    [
        ({"pid": "DEAD", "host": "HERE"}, 0, True),
        ({"pid": "SELF", "host": "HERE"}, 0, False),
        ({"pid": "SELF", "host": "HERE"}, 10 * locks.SILENCE, True),
        ({"pid": "DEAD", "host": "elsewhere"}, 0, False),
        ({"pid": "DEAD", "host": "elsewhere"}, 10 * locks.SILENCE, True),
        (None, 0, True),
    ],
)
def test_stale_locks_are_recognized(tmp_path, owner, age, taken):
    known = {"DEAD": dead_process(), "SELF": os.getpid(), "HERE": os.uname().nodename}
    path = tmp_path / "lock"
    if owner is None:
        path.write_text("{ half a fi")
    else:
        write_json(path, {key: known.get(value, value) for key, value in owner.items()})
    os.utime(path, (time.time() - age,) * 2)
    with locks.held(path) as mine:
        assert mine is taken
    assert path.exists() is not taken


def test_a_lock_shows_that_its_holder_lives(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "BEAT", 0.01)
    with locks.held(tmp_path / "a"):
        os.utime(tmp_path / "a", (0, 0))
        deadline = time.monotonic() + 5
        while (tmp_path / "a").stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert (tmp_path / "a").stat().st_mtime > 0


def run(folder, jobs, work, slots=2):
    told = []
    with ThreadPoolExecutor(slots) as executor:
        status = run_jobs(
            folder, jobs, lambda f, j, _: execute(f, j, work), executor, slots, lambda j, s: told.append((j.key, s))
        )
    return status, told


def test_cells_wait_for_their_pretraining_and_fail_with_it(tmp_path):
    order = []

    def work(job, folder, aside):
        order.append(job.key)
        if job.key == "pre1":
            raise ValueError("no scans.")
        return {}

    folder = StudyFolder(tmp_path)
    status, told = run(folder, fake_study.jobs(2, 2)[::-1], work)
    assert order.index("pre0") < order.index("cell00") and "cell10" not in order
    assert {key for key, state in status.items() if state == "failed"} == {"pre1", "cell10", "cell11"}
    assert sorted(told) == sorted(status.items())
    assert folder.failure(fake_study.jobs(2, 2)[-1]) == "its pre-training failed: no scans."


def test_lost_weights_are_made_again_if_a_cell_needs_them(tmp_path):
    folder, jobs = StudyFolder(tmp_path), fake_study.jobs(1, 2)
    run(folder, jobs, fake_study.work)
    encoder = folder.pretraining("pre0").encoder
    encoder.unlink()
    # all cells are there, so nobody does
    assert run(folder, jobs, fake_study.work) == (dict.fromkeys(("pre0", "cell00", "cell01"), "done"), [])
    folder.cell("cell01").result.unlink()
    status, told = run(folder, jobs, fake_study.work)
    assert set(status.values()) == {"done"} and encoder.is_file()
    assert told == [("pre0", "done"), ("cell01", "done")]


def test_a_busy_job_is_asked_for_until_it_is_done(tmp_path, monkeypatch):
    monkeypatch.setattr("monai_ssl.study.parallel.BUSY_SECONDS", 0.01)
    folder, free = StudyFolder(tmp_path), threading.Event()

    def elsewhere():
        with locks.held(StudyFolder(tmp_path).lock(JOB)):
            free.wait(5)

    other = threading.Thread(target=elsewhere)
    other.start()
    while not folder.lock(JOB).exists():
        time.sleep(0.01)
    threading.Timer(0.2, free.set).start()
    status, _ = run(folder, [JOB], lambda *_: {"score": 2.0})
    other.join()
    assert status == {"k1": "done"} and results(tmp_path)["k1"]["score"] == 2.0


def test_never_more_at_once_than_slots(tmp_path):
    at_once, most, begun, guard, meeting = [0], [0], [0], threading.Lock(), threading.Barrier(2)

    def work(job, folder, aside):
        with guard:
            begun[0] += 1
            first_two = begun[0] <= 2
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
        if first_two:
            meeting.wait(timeout=60)
        with guard:
            at_once[0] -= 1
        return {}

    run(StudyFolder(tmp_path), fake_study.jobs(3, 4), work, slots=2)
    assert most[0] == 2


def test_a_study_killed_twenty_times_ends_with_the_same_table(tmp_path):
    (tmp_path / "straight").mkdir()
    fake_study.main(tmp_path / "straight")
    rng, root = random.Random(0), tmp_path / "killed"
    root.mkdir()
    command = [sys.executable, fake_study.__file__, str(root)]
    kills = 0
    for _ in range(20):
        child = subprocess.Popen(command, cwd=Path(__file__).parents[2], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        lines = started(root)
        # not before it does something, or slow machines would only kill imports
        while started(root) == lines and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.06))
        child.send_signal(signal.SIGKILL)
        kills += child.wait() == -signal.SIGKILL
    assert kills >= 8, "the study was over before it was killed"
    subprocess.run(command, cwd=Path(__file__).parents[2], check=True, timeout=60)
    assert results(root) == results(tmp_path / "straight") and len(results(root)) == 15
    begun = [line.split() for line in (root / "started.log").read_text().splitlines()]
    assert all(done == "False" and ready == "True" for _, done, ready in begun)
    assert len(begun) > 15


def started(root):
    log = root / "started.log"
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_a_process_that_dies_leaves_a_reason(tmp_path, monkeypatch):
    folder = StudyFolder(tmp_path)
    launch = Processes(1, {}, ())
    assert launch(folder, JOB, 0) == "failed"
    assert "ended with code 1" in folder.failure(JOB) and "has no job k1" in folder.failure(JOB)
    monkeypatch.setattr("monai_ssl.study.parallel.sys.executable", "/bin/false")
    assert launch(folder, JOB, 0) == "failed" and "ended with code 1" in folder.failure(JOB)


def test_a_study_whose_server_is_dead_is_recorded_in_its_own_database(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    run = StudyRun(StudyFolder(tmp_path), {"seeds": [0]})
    own = f"sqlite:///{tmp_path / 'mlruns.db'}"
    assert run.environment() == {"MLFLOW_TRACKING_URI": own, "MONAI_SSL_PARENT_RUN": run.run.id}
    run.finish({"done": 2.0}, failed=True)
    log_scores(StudyFolder(tmp_path).cell("k1"), "cell", {"per_class": {"lung 1": 0.5}, "score": 0.25, "pictures": []})
    client = MlflowClient(own)
    (experiment,) = client.search_experiments(filter_string="name = 'monai_ssl'")
    found = {r.info.run_name: r for r in client.search_runs([experiment.experiment_id])}
    study, scored = found[f"study {tmp_path.name}"], found["cell"]
    assert (study.info.status, study.data.params, study.data.metrics) == ("FAILED", {"seeds": "[0]"}, {"done": 2.0})
    assert scored.data.metrics == {"test/score": 0.25, "test/lung 1": 0.5}


def test_gpus_of_the_environment(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert visible_gpus() == ["3", "5"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert visible_gpus() == []


def test_backends(monkeypatch):
    with pool("processes", 3) as (executor, slots):
        assert slots == 3 and executor.submit(max, 1, 2).result() == 2
    with pytest.raises(ValueError, match="`--backend` must be 'processes' or 'dask', got 'slurm'"), pool("slurm", 1):
        pass
    for module in ("dask", "dask.distributed"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match="needs Dask: `pip install distributed`"), pool("dask", 1):
        pass


def test_a_lost_worker_costs_its_job_only(tmp_path):
    def launch(folder, job, slot):
        if job.key == "cell00":
            raise ConnectionError("worker left")
        return execute(folder, job, lambda *_: {})

    folder = StudyFolder(tmp_path)
    with ThreadPoolExecutor(2) as executor:
        status = run_jobs(folder, fake_study.jobs(1, 3), launch, executor, 2, lambda *_: None)
    assert status == {"pre0": "done", "cell00": "failed", "cell01": "done", "cell02": "done"}
    assert "worker that had it was lost: ConnectionError: worker left" in folder.failure(fake_study.jobs(1, 1)[1])


def busy_at_first(folder, job, slot):
    with (folder.root / f"{job.key}.asked").open("a") as asked:
        asked.write(f"{os.getpid()} {os.environ.get('CUDA_VISIBLE_DEVICES')}\n")
    asked_before = len((folder.root / f"{job.key}.asked").read_text().splitlines()) > 1
    return execute(folder, job, fake_study.work) if asked_before else "busy"


@pytest.mark.slow
def test_a_dask_cluster_does_the_jobs(tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr("monai_ssl.study.parallel.BUSY_SECONDS", 0.01)
    folder = StudyFolder(tmp_path)
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as nodes:
        monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", nodes.scheduler_address)
        with pool("dask", 1) as (executor, slots):
            status = run_jobs(folder, fake_study.jobs(2, 3), busy_at_first, executor, slots, lambda *_: None)
    assert slots == 2 and set(status.values()) == {"done"} and len(results(tmp_path)) == 8
    asked = [line.split()[0] for path in tmp_path.glob("*.asked") for line in path.read_text().splitlines()]
    assert len(asked) == 16 and len(set(asked)) == 2 and str(os.getpid()) not in asked


@pytest.mark.slow
def test_dask_does_the_same_call_again(monkeypatch):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as nodes:
        monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", nodes.scheduler_address)
        with pool("dask", 1) as (executor, _):
            first = executor.submit(os.urandom, 8)
            assert first.result() != executor.submit(os.urandom, 8).result()


@pytest.mark.slow
def test_a_scheduler_that_is_not_there(monkeypatch):
    dask = pytest.importorskip("dask")
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", "tcp://127.0.0.1:9")
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(ValueError, match="No Dask scheduler answers at DASK_SCHEDULER_ADDRESS=tcp:"),
        pool("dask", 1),
    ):
        pass
