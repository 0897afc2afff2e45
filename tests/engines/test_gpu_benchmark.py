"""`benchmarks/gpu.py`: its rehearsal on a CPU runs every part; what fails is recorded, and the rest go on."""

import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("gpu")


def rehearsal(*words):
    command = [sys.executable, str(BENCHMARKS / "gpu.py"), "--device", "cpu", "--small", *map(str, words)]
    # what compilers do is tested elsewhere, and takes its time
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"TORCHDYNAMO_DISABLE": "1"})


@pytest.mark.slow
def test_the_rehearsal_measures_every_part(gpu, tmp_path):
    done = rehearsal("--out", tmp_path / "gpu.json")
    found = json.loads((tmp_path / "gpu.json").read_text())
    parts = found["parts"]
    assert done.returncode == 0 and not [name for name, part in parts.items() if "error" in part], done.stdout
    assert parts.keys() == {"card", "phantoms", "views", *gpu.PARTS} and found["card"] and found["small"]
    assert all(part["seconds"] > 0 for part in parts.values())
    for name, part in gpu.PARTS.items():
        assert {key: parts[name]["settings"][key] for key in part.changes} == part.changes
        assert parts[name]["amp"] == part.changes["amp"] and parts[name]["speed"] > 0, name
    assert {"ours, cpu", "MONAI one by one, cpu"} <= parts["views"]["ms"].keys()
    assert len(found["ratios"]) == 7, "all but that of a part which PCRLv2 does not have"


@pytest.mark.slow
def test_a_part_that_fails_hangs_or_dies_is_recorded(gpu):
    gpu.SERVER.set_forkserver_preload(["sidebyside"])
    assert gpu.measured(60, json.loads, "{")["error"].startswith("JSONDecodeError: Expecting property name")
    assert gpu.measured(60, os._exit, 9)["error"] == "the process ended with exit code 9"
    hung = gpu.measured(0.5, time.sleep, 600)
    assert hung["error"] == "not done within 0 s" and hung["seconds"] < 60
    assert gpu.measured(-1.0, time.sleep, 0) == {"error": "no time was left", "seconds": 0.0}
    measured = {"mae, float32": {"resident_ms": 6.0}, "mae, bfloat16": {"resident_ms": 2.0}, "views": {"error": "x"}}
    assert gpu.ratios(measured) == {"mae: bfloat16 is faster by": 3.0}


@pytest.mark.slow
def test_a_rehearsal_never_takes_the_place_of_what_a_gpu_does(gpu):
    before = gpu.DOCS.read_bytes() if gpu.DOCS.exists() else None
    assert "name another file by `--out`" in rehearsal().stderr
    assert "name another file by `--out`" in rehearsal("--out", BENCHMARKS / "../docs/gpu.json").stderr
    assert before == (gpu.DOCS.read_bytes() if gpu.DOCS.exists() else None)
