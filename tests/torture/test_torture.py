"""Jobs that are injured at random moments, and continue: a sample here, two hundred in the slow test."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="injuries are those of Linux")
SCRIPT = Path(__file__).with_name("torture.py")


def torture(*options):
    """What the script says, run as a process of its own: it forks, and nothing else must be alive then."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *options], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def summary(said):
    return tuple(map(int, re.search(r"(\d+) injuries, (\d+) failures", said).groups()))


def test_a_sample_of_injuries():
    assert summary(torture("--runs", "10")) == (10, 0)


@pytest.mark.torture
@pytest.mark.slow
def test_two_hundred_injuries():
    """Every kind has hit every job: none of them was over each time."""
    said = torture("--runs", "200", "--seed", "1")
    assert summary(said) == (200, 0)
    for job in ("prepare", "pretrain", "finetune", "study"):
        for end in ("SIGKILL", "SIGTERM"):
            assert re.search(rf"{job} +{end} +killed by {end}, continued", said), said
    for injury in ("disk full", "out of memory", "worker killed", "scan deleted"):
        assert re.search(rf"{injury} +(said why|killed by \w+), continued", said), said
