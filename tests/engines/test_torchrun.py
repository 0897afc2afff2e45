"""A job of several processes ends with its reason when one of them does, and continues."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from two_processes import ended, torchrun

from monai_ssl import errors
from monai_ssl.bundle import device, images
from monai_ssl.files import read_json
from monai_ssl.samples.phantom import write_phantom_cohort

BUNDLE = Path(__file__).parents[2] / "bundles/autoencoder"
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


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs signals and pgrep")
def test_a_killed_process_ends_the_job_and_another_number_continues(tmp_path):
    write_phantom_cohort(tmp_path / "scans", patients=3, shape=(24, 24, 24))
    run = {"bundle_root": BUNDLE, "dataset_dir": tmp_path / "scans", "output_dir": tmp_path / "out", **SMALL}
    config = BUNDLE / "configs/pretrain.json"
    job = torchrun(2, "pretrain", config, **run, max_epochs=10000)
    checkpoint, began = tmp_path / "out/checkpoint.pt", time.monotonic()
    while not checkpoint.exists() and job.poll() is None and time.monotonic() - began < 3 * LIMIT:
        time.sleep(0.2)
    children = subprocess.run(["pgrep", "-P", str(job.pid)], capture_output=True, text=True, check=True)
    os.kill(max(map(int, children.stdout.split())), signal.SIGKILL)
    printed = ended(job, LIMIT)
    assert job.returncode != 0 and checkpoint.exists(), printed[-3000:]
    assert "Signal 9 (SIGKILL)" in root_cause(printed)
    epochs = torch.load(checkpoint, weights_only=True)["epoch"]
    more = torchrun(1, "pretrain", config, **run, max_epochs=epochs + 1, resume="true")
    again = ended(more, 3 * LIMIT)
    assert more.returncode == 0 and f"Continuing {checkpoint}" in again, again[-3000:]
    assert torch.load(checkpoint, weights_only=True)["epoch"] == epochs + 1


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


def test_a_process_that_only_lost_the_other_one_blames_nobody(monkeypatch, tmp_path, capsys):
    lost = RuntimeError("Failed to evaluate")
    lost.__cause__ = RuntimeError("gloo/transport/tcp/pair.cc:547 Connection closed by peer [127.0.0.1]:1")
    assert explained(lost, monkeypatch, tmp_path) is None
    printed = capsys.readouterr().err
    assert "Another process of this job has ended" in printed and "Traceback" not in printed


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert device() == torch.device("cuda", 1)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ValueError, match=r"process number 3 here, but this machine has 2 GPUs: .*nproc_per_node=2"):
        device()
