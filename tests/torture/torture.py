"""Injure ``prepare``, pre-training, fine-tuning and ``study`` at random moments and continue: ``torture.py``.

After each injury there is no half file under a real name, the continuation equals the run that was left alone, no more
than one interval of checkpoints is lost, and whoever survived has said the reason. Jobs are forked from this process,
so that the imports are paid once; they are real processes with real files, and the kills are real. Ends with 1 and the
folders of what went wrong when anything did.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import torch
from injuries import APPLIES, INJURIES, Injury, Victim, mount_small_disk
from jobs import Finetune, Prepare, Pretrain, Study, write_inputs
from PIL import Image
from safetensors.torch import load_file

from monai_ssl.errors import sentence_of
from monai_ssl.files import ASIDE

Job = Prepare | Pretrain | Finetune | Study
JOBS: dict[str, Job] = {"prepare": Prepare(), "pretrain": Pretrain(), "finetune": Finetune(), "study": Study()}
_PATIENCE = 90.0
"""Seconds after which a job counts as hanging."""
_DISK = 48
_NO_INJURY = Injury()


@dataclass
class Reference:
    """A job that was left alone."""

    result: Any
    seconds: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", nargs="+", choices=sorted(JOBS), default=sorted(JOBS))
    args = parser.parse_args()
    torch.set_num_threads(1)
    root = Path(tempfile.mkdtemp(prefix="torture-"))
    begun = time.monotonic()
    (root / "inputs").mkdir()
    write_inputs(root / "inputs")
    small_disk = root / "disk"
    small_disk.mkdir()
    if not mount_small_disk(small_disk, _DISK):
        print("This system allows no disk of our own: runs with a full disk are left out.")
    counts, failures = torment(args.runs, args.seed, args.jobs, root)
    for (job, injury, end), count in sorted(counts.items()):
        print(f"{count:5d}  {job:9s} {injury:14s} {end}")
    print(f"{sum(counts.values())} injuries, {len(failures)} failures, {time.monotonic() - begun:.0f} s")
    for failure in failures:
        print(failure, file=sys.stderr)
    if not failures:
        shutil.rmtree(root, ignore_errors=True)
    return bool(failures)


def torment(runs: int, seed: int, names: list[str], root: Path) -> tuple[Counter, list[str]]:
    """Return how often each job met each injury and how that ended, and what went wrong."""
    references = {name: undisturbed(JOBS[name], root) for name in names}
    rng = random.Random(seed)
    cases = [(name, injury) for name in names for injury in APPLIES[name]]
    if not os.path.ismount(root / "disk"):
        cases = [case for case in cases if case[1] != "disk full"]
    rng.shuffle(cases)
    counts: Counter = Counter()
    failures = []
    for number in range(runs):
        name, injury = cases[number % len(cases)]
        place = root / ("disk" if injury == "disk full" else "runs") / f"{number:04d}"
        end, wrong = one_run(JOBS[name], INJURIES[injury], references[name], place, random.Random(rng.random()))
        counts[name, injury, end] += 1
        failures += [f"{place}: {name}, {injury}: {text}" for text in wrong]
        if not wrong:
            shutil.rmtree(place)
    return counts, failures


def undisturbed(job: Job, root: Path) -> Reference:
    """Do a job as it should be done."""
    place = root / "alone" / job.name
    job.set_up(root / "inputs", place)
    begun = time.monotonic()
    victim = Victim(0, place, [], random.Random(0), 0.0)
    if wait(start(job, _NO_INJURY, victim, 0)) != 0:
        raise SystemExit(f"{job.name} fails when it is left alone:\n{victim.log.read_text()}")
    return Reference(job.result(place), time.monotonic() - begun)


def one_run(job: Job, injury: Injury, alone: Reference, place: Path, rng: random.Random) -> tuple[str, list[str]]:
    """Injure a job, heal the world, continue; return how the job ended, and what is wrong."""
    job.set_up(place.parents[1] / "inputs", place)
    victim = Victim(0, place, job.data(place), rng, alone.seconds)
    moment = time.monotonic() + rng.uniform(0, 1) * alone.seconds
    victim.pid = start(job, injury, victim, injury.workers)
    while time.monotonic() < moment and not ended(victim.pid):
        time.sleep(0.002)
    if not ended(victim.pid):
        injury.during(victim)
    code = wait(victim.pid)
    injury.after(victim)
    wrong = broken_files(place / "out")
    if code is None:
        wrong.append("it hung")
    if loss := job.lost(place):
        wrong.append(loss)
    said = victim.log.read_text()
    if code not in (0, None) and code > 0 and not said.strip():
        wrong.append(f"it ended with {code} and said nothing")
    if code != 0 and injury.harmless:
        wrong.append(f"it did not survive: {said[-400:]}")
    if code != 0:
        victim.log.rename(victim.log.with_suffix(".injury"))
        again = wait(start(job, _NO_INJURY, victim, 0))
        said = victim.log.read_text()
        if again != 0:
            return "not continued", [*wrong, f"it does not continue: {said[-600:]}"]
    try:
        if job.result(place) != alone.result:
            wrong.append("its result differs from that of the run left alone")
    except (OSError, ValueError, KeyError) as error:
        wrong.append(f"its result is not whole: {error}")
    # a lock that was being taken is a few bytes, and cannot be told from one that another process takes now
    left = (path for path in (place / "out").rglob(f"{ASIDE}*") if path.parent.name != "locks")
    wrong += [f"{path.name} was left" for path in left if code != 0]
    return _how(code, injury), wrong


def _how(code: int | None, injury: Injury) -> str:
    if code == 0:
        return "ended well" if injury.harmless else "ended well, was over or not touched"
    if code is None:
        return "hung"
    return f"killed by {signal.Signals(-code).name}, continued" if code < 0 else "said why, continued"


def start(job: Job, injury: Injury, victim: Victim, workers: int) -> int:
    """Run a job in a process group of its own; what it says goes into ``log``."""
    sys.stdout.flush()
    sys.stderr.flush()
    # here, since the process may be killed before its first word
    victim.log.parent.mkdir(exist_ok=True)
    victim.log.touch()
    pid = os.fork()
    if pid:
        return pid
    os.setsid()
    code = 1
    try:
        log = os.open(victim.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        injury.before(victim)
        job.run(victim.place, workers)
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException as error:  # the process must not go on as if it were the torturer
        _say(error)
    finally:
        try:
            atexit._run_exitfuncs()
        finally:
            os._exit(code)
    raise AssertionError("unreachable")


def _say(error: BaseException) -> None:
    try:
        os.write(2, f"error: {sentence_of(error) or ''.join(traceback.format_exception(error)[-3:])}\n".encode())
    except MemoryError:
        os.write(2, b"error: out of memory\n")


def ended(pid: int) -> bool:
    """Whether a child has ended, without taking its status."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def wait(pid: int) -> int | None:
    """Return the exit code of a child, negative for a signal; ``None`` when it had to be ended."""
    deadline = time.monotonic() + _PATIENCE
    while not ended(pid):
        if time.monotonic() > deadline:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return None
        time.sleep(0.005)
    # workers that outlived it, before its number may be given to another process
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def broken_files(folder: Path) -> list[str]:
    """Return the files that bear a real name and cannot be read."""
    readers = {
        ".json": lambda p: json.loads(p.read_text()),
        ".npy": lambda p: np.load(p, allow_pickle=False),
        ".pt": lambda p: torch.load(p, weights_only=True),
        ".safetensors": load_file,
        ".png": lambda p: Image.open(p).verify(),
        ".db": _check_database,
    }
    broken = []
    for path in folder.rglob("*"):
        # MLflow's own copies are written by MLflow
        if path.name.startswith(ASIDE) or path.suffix not in readers or "mlruns" in path.parts or not path.is_file():
            continue
        try:
            readers[path.suffix](path)
        except Exception as error:  # whatever a reader finds
            broken.append(f"half file {path.relative_to(folder)}: {type(error).__name__}: {error}")
    return broken


def _check_database(path: Path) -> None:
    with sqlite3.connect(path) as database:
        (answer,) = database.execute("PRAGMA integrity_check").fetchone()
    if answer != "ok":
        raise ValueError(answer)


if __name__ == "__main__":
    sys.exit(main())
