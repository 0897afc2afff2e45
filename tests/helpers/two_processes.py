"""Two processes: a function run in both, or a bundle started by torchrun."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def free_port() -> int:
    """A port of this machine that nobody listens to."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def _start(rank: int, folder: Path, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting_point", rank=rank, world_size=2)
    torch.save(function(rank, *arguments), folder / f"{rank}.pt")
    dist.destroy_process_group()


def both(function: Callable[..., Any], folder: Path, *arguments: Any) -> list[Any]:
    """What ``function(rank, *arguments)`` of a test module returns on rank 0 and on rank 1; they talk by gloo."""
    folder.mkdir(exist_ok=True)
    mp.spawn(_start, (folder, function, arguments), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def torchrun(count: int, run_id: str, config: str | Path, **overrides: Any) -> subprocess.Popen[str]:
    """Start MONAI's stock command on a bundle in ``count`` processes."""
    return _started(["--standalone", f"--nproc_per_node={count}"], run_id, config, overrides)


def machines(count: int, run_id: str, config: str | Path, **overrides: Any) -> list[subprocess.Popen[str]]:
    """Start it as on so many machines with a process each, which meet at an address, the first one's."""
    place = ["--rdzv_backend=c10d", f"--rdzv_endpoint=localhost:{free_port()}", "--rdzv_id=run"]
    options = [f"--nnodes={count}", "--nproc_per_node=1", *place]
    # of machines of their own, torchrun knows by the address which one is the host
    hosts = [f"--rdzv_conf=is_host={int(number == 0)}" for number in range(count)]
    return [_started([*options, host], run_id, config, overrides) for host in hosts]


def _started(options: list[str], run_id: str, config: str | Path, overrides: dict[str, Any]) -> subprocess.Popen[str]:
    settings = [part for key, value in overrides.items() for part in (f"--{key}", str(value))]
    job = ["torch.distributed.run", *options, "-m", "monai.bundle", "run", run_id, "--config_file", str(config)]
    return subprocess.Popen(
        [sys.executable, "-m", *job, *settings],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )


def child(process: subprocess.Popen[str]) -> int:
    """The newest process that ``torchrun`` has started."""
    found = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True)
    return max(map(int, found.stdout.split()))


def wait_for(path: Path, jobs: list[subprocess.Popen[str]], limit: float) -> None:
    """Wait until a file is there, or a job ends, or the time is over."""
    began = time.monotonic()
    while not path.exists() and all(job.poll() is None for job in jobs) and time.monotonic() - began < limit:
        time.sleep(0.2)


def ended(process: subprocess.Popen[str], limit: float) -> str:
    """What a job printed; it fails the test, and is killed, when it does not end in time."""
    try:
        return process.communicate(timeout=limit)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail(f"the job did not end within {limit} s:\n{process.communicate()[0][-3000:]}")
