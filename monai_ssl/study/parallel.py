"""Run jobs in parallel: local processes with their share of CPUs and GPUs, or a Dask cluster."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

from monai_ssl.dask_client import dask_client
from monai_ssl.machine import cores
from monai_ssl.study.execution import Status, reason_of
from monai_ssl.study.folder import StudyFolder
from monai_ssl.study.jobs import Job, PretrainingJob
from monai_ssl.study.worker import CODES

BUSY_SECONDS = 1.0
Launch = Callable[[StudyFolder, Job, int], Status]
"""Do a job in the slot of that number."""


def run_jobs(
    folder: StudyFolder,
    jobs: Iterable[Job],
    launch: Launch,
    executor: Executor,
    slots: int,
    tell: Callable[[Job, Status], None],
) -> dict[str, Status]:
    """Do all jobs, each after the one that it needs, at most ``slots`` at once.

    A job that somebody else is at is asked for again until it is done or free. One whose pre-training or trial failed
    fails with that reason.

    Args:
        folder: of the study.
        jobs: in the order of preference.
        launch: does one.
        executor: runs ``launch``.
        slots: how many at once.
        tell: called as each ends.

    Returns:
        ``"done"`` or ``"failed"`` by key.
    """
    known = {job.key: job for job in jobs}
    waiting = {job.key: job for job in still_to_do(folder, known.values())}
    status: dict[str, Status] = {key: "done" for key in known if key not in waiting}
    running: dict[Future[Status], tuple[Job, int]] = {}
    free = list(range(slots))[::-1]
    while waiting or running:
        for job in list(waiting.values()):
            if folder.is_done(job):
                status[job.key] = "done"
                del waiting[job.key]
            elif broken := [key for key in job.needs if status.get(key) == "failed"]:
                folder.write_failure(job, f"its {_kind(known[broken[0]])} failed: {folder.failure(known[broken[0]])}")
                status[job.key] = "failed"
                tell(waiting.pop(job.key), "failed")
            elif free and all(status.get(key) == "done" for key in job.needs):
                slot = free.pop()
                running[executor.submit(launch, folder, job, slot)] = (waiting.pop(job.key), slot)
        if not running:
            continue
        finished, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in finished:
            job, slot = running.pop(future)
            free.append(slot)
            outcome = _status_of(future, folder, job)
            if outcome == "busy":
                waiting[job.key] = job
                time.sleep(BUSY_SECONDS)
                continue
            status[job.key] = outcome
            tell(job, outcome)
    return status


def still_to_do(folder: StudyFolder, jobs: Iterable[Job]) -> list[Job]:
    """Return the jobs without a result; weights that are gone are made again where such a job starts from them."""
    jobs = list(jobs)
    needed = {key for job in jobs if not folder.is_done(job) for key in job.needs}
    done = {job.key: folder.is_done(job) or (job.key not in needed and folder.finished(job).is_done()) for job in jobs}
    return [job for job in jobs if not done[job.key]]


class Processes:
    """Launches each job as a process with its share of the cores and, where there are GPUs, one of them.

    Args:
        workers: processes at once.
        environment: variables to add.
        gpus: names of those to share out; none leaves a process what its machine offers.
    """

    def __init__(self, workers: int, environment: Mapping[str, str], gpus: Sequence[str]) -> None:
        self.workers = workers
        self.environment = dict(environment)
        self.gpus = tuple(gpus)

    def __call__(self, folder: StudyFolder, job: Job, slot: int) -> Status:
        environment = {**os.environ, **self.environment}
        environment.setdefault("OMP_NUM_THREADS", str(max(1, cores() // self.workers)))
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self.gpus[slot % len(self.gpus)]
        log = folder.log(job)
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "monai_ssl.study.worker", str(folder.root.resolve()), job.key]
        with log.open("ab") as out:
            # the pipe is never written to: its end tells the child that this process is gone
            child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT, env=environment
            )
            code = child.wait()
        assert child.stdin is not None
        child.stdin.close()
        if code == CODES["busy"]:
            return "busy"
        if folder.is_done(job):
            return "done"
        if code == CODES["failed"] and folder.failure(job):
            return "failed"
        how = f"was killed by signal {-code}, as happens without memory" if code < 0 else f"ended with code {code}"
        folder.write_failure(job, f"its process {how}; the last line of {log} is: {_last_line(log)}")
        return "failed"


def visible_gpus() -> list[str]:
    """Return the names of the GPUs that this process may use."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name for name in named.split(",") if name not in ("", "-1")]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


@contextmanager
def pool(backend: str, workers: int) -> Iterator[tuple[Executor, int]]:
    """Open what runs the launches; yields it, and how many it runs at once.

    Args:
        backend: ``"processes"``, or ``"dask"``: the cluster of ``DASK_SCHEDULER_ADDRESS``, else one on this machine.
        workers: at once, with processes.

    Raises:
        ValueError: for another backend, when Dask is not installed, or when nobody answers at the address.
    """
    if backend == "processes":
        with ThreadPoolExecutor(workers, thread_name_prefix="study") as executor:
            yield executor, workers
        return
    if backend != "dask":
        raise ValueError(f"`--backend` must be 'processes' or 'dask', got {backend!r}.")
    # a job that was busy is asked for again: Dask would answer "pure" calls from memory
    with dask_client() as client, client.get_executor(pure=False) as executor:
        yield executor, sum(client.nthreads().values())


def _status_of(future: Future[Status], folder: StudyFolder, job: Job) -> Status:
    try:
        return future.result()
    except Exception as error:
        folder.write_failure(job, f"the worker that had it was lost: {reason_of(error)}")
        return "failed"


def _kind(job: Job) -> str:
    return "pre-training" if isinstance(job, PretrainingJob) else "trial"


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:500] if lines else "empty"
