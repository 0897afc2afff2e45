"""A job of several processes ends with its reason when one of them does, and continues."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest
import torch
from two_processes import child, ended, machines, torchrun, wait_for

from monai_ssl import errors
from monai_ssl.bundle import device, images
from monai_ssl.files import read_json
from monai_ssl.samples.phantom import write_phantom_cohort
from monai_ssl.store import PrepareOptions, prepare

BUNDLE = Path(__file__).parents[2] / "bundles/autoencoder"
CONFIG = BUNDLE / "configs/pretrain.json"
LIMIT = 60.0
SMALL = {
    "widths": "[2,4,8,16]",
    "roi_size": "[16,16,16]",
    "batch_size": 2,
    "windows_per_scan": 4,
    "num_workers": 0,
    "validation": 0,
    "device": "cpu",
    "amp": "false",
}


def root_cause(printed):
    return printed.partition("Root Cause")[2]


@pytest.mark.slow
def test_the_summary_names_the_mistake_of_one_process_that_others_wait_for(tmp_path):
    config = tmp_path / "fail.json"
    fail = ["$os.environ['RANK'] == '1' and monai_ssl.bundle.images('/nowhere')", "$torch.distributed.barrier()"]
    imports = ["$import os", "$import monai_ssl", "$import monai_ssl.bundle", "$import torch"]
    config.write_text(json.dumps({"imports": imports, "initialize": ["$monai_ssl.bundle.setup(0)"], "fail": fail}))
    job = torchrun(2, "fail", config)
    printed = ended(job, 2 * LIMIT)
    assert job.returncode != 0
    cause = root_cause(printed)
    assert "rank      : 1" in cause and "/nowhere: there is no such file or folder" in cause
    assert 'File "' not in printed.partition("error: ")[0], "no traces before the sentence"


def run_of(folder):
    write_phantom_cohort(folder / "scans", patients=3, shape=(24, 24, 24))
    prepare(folder / "scans", folder / "store", PrepareOptions(workers=0))
    return {"bundle_root": BUNDLE, "dataset_dir": folder / "store", "output_dir": folder / "out", **SMALL}


def learned(folder):
    return torch.load(folder / "checkpoint.pt", weights_only=True)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs signals and pgrep")
def test_a_killed_process_ends_the_job(tmp_path):
    job = torchrun(2, "pretrain", CONFIG, **run_of(tmp_path), max_epochs=10000)
    wait_for(tmp_path / "out/checkpoint.pt", [job], 3 * LIMIT)
    os.kill(child(job), signal.SIGKILL)
    printed = ended(job, LIMIT)
    assert job.returncode != 0 and (tmp_path / "out/checkpoint.pt").exists(), printed[-3000:]
    assert "Signal 9 (SIGKILL)" in root_cause(printed)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs signals and pgrep")
def test_a_lost_machine_ends_the_job_and_fewer_continue(tmp_path):
    run = run_of(tmp_path)
    left, lost = machines(2, "pretrain", CONFIG, **run, max_epochs=10000)
    wait_for(tmp_path / "out/checkpoint.pt", [left, lost], 3 * LIMIT)
    os.kill(lost.pid, signal.SIGKILL)
    printed = ended(left, LIMIT)
    assert left.returncode != 0 and "Another process of this job has ended" in root_cause(printed), printed[-3000:]
    assert "torchrun of this machine" in ended(lost, LIMIT), "what a killed torchrun leaves must not go on alone"
    epochs = learned(tmp_path / "out")["epoch"]
    more = torchrun(1, "pretrain", CONFIG, **run, max_epochs=epochs + 1, resume="true")
    again = ended(more, 3 * LIMIT)
    assert more.returncode == 0 and "Continuing" in again, again[-3000:]
    assert learned(tmp_path / "out")["epoch"] == epochs + 1


@pytest.mark.slow
def test_two_machines_learn_what_one_with_two_processes_learns(tmp_path):
    run = run_of(tmp_path) | {"max_epochs": 2}
    for job in machines(2, "pretrain", CONFIG, **run):
        printed = ended(job, 3 * LIMIT)
        assert job.returncode == 0, printed[-3000:]
    alone = torchrun(2, "pretrain", CONFIG, **run | {"output_dir": tmp_path / "alone"})
    printed = ended(alone, 3 * LIMIT)
    assert alone.returncode == 0, printed[-3000:]
    ours, theirs = learned(tmp_path / "out"), learned(tmp_path / "alone")
    assert ours["method"].keys() == theirs["method"].keys() and ours["samples_seen"] == theirs["samples_seen"]
    assert all(torch.equal(value, theirs["method"][key]) for key, value in ours["method"].items())


def explained(error, monkeypatch, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "error.json"))
    errors._explain(type(error), error, None)
    return read_json(tmp_path / "error.json")


def test_torchrun_is_told_the_sentence(monkeypatch, tmp_path, capsys):
    with pytest.raises(ValueError, match="there is no such file or folder") as raised:
        images(str(tmp_path / "none"))
    told = explained(raised.value, monkeypatch, tmp_path)
    assert told["message"] == str(raised.value) and 0 <= time.time() - told["timestamp"] < LIMIT
    assert str(raised.value) in capsys.readouterr().err


def test_torchrun_is_told_of_errors_that_are_not_ours(monkeypatch, tmp_path):
    assert explained(MemoryError("no memory"), monkeypatch, tmp_path)["message"] == "MemoryError: no memory"


@pytest.mark.parametrize(
    "said",
    [
        "gloo/transport/tcp/pair.cc:547 Connection closed by peer [127.0.0.1]:1",
        "[gloo/transport/tcp/unbound_buffer.cc:78] Timed out waiting 1800000ms for recv operation to complete",
    ],
)
def test_a_process_that_only_lost_the_other_one_is_never_the_cause(said, monkeypatch, tmp_path, capsys):
    lost = RuntimeError("Failed to evaluate")
    lost.__cause__ = RuntimeError(said)
    told = explained(lost, monkeypatch, tmp_path)
    printed = capsys.readouterr().err
    assert "Another process of this job has ended" in printed and "Traceback" not in printed
    cause = explained(MemoryError("no memory"), monkeypatch, tmp_path)
    assert told["message"] in printed and told["timestamp"] > cause["timestamp"] + 1


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert device() == torch.device("cuda", 1)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ValueError, match=r"process number 3 here, but this machine has 2 GPUs: .*nproc_per_node=2"):
        device()
