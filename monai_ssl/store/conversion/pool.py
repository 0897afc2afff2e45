"""Run jobs in other processes: a bounded number at a time, and the death of one stops none of the others.

Why not joblib or loky (tried: joblib 1.6, loky 3.6): one killed worker ends `joblib.Parallel` and the whole executor
with `TerminatedWorkerError`, so that the jobs under way must be told apart and done again here all the same. Their
workers also outlive a parent that was killed, and each imports torch anew where a fork server pays for it once.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing.connection import wait as wait_for
from types import ModuleType
from typing import Generic, TypeVar

J = TypeVar("J")
R = TypeVar("R")


KILLED = "its worker process was killed, probably for want of memory: use fewer --workers or a larger machine"
"""The reason why a file was not read."""


class WorkerKilledError(RuntimeError):
    """The process that worked on a job died, most often for want of memory."""


class WorkerPool(Generic[J, R]):
    """Applies a function to jobs.

    Args:
        function: importable, so that it can be sent to another process.
        workers: number of processes; 0 works in this one.
        preload: modules that are imported once, before processes are forked.
    """

    def __init__(self, function: Callable[[J], R], workers: int, preload: Iterable[str] = ()) -> None:
        self.function = function
        self.workers = workers
        # a clean server that forks: safe with the threads of this process, and cheap to restart after a death
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(list(preload))

    def run(self, jobs: Iterable[J]) -> Iterator[tuple[J, R | WorkerKilledError]]:
        """Yield each job with its result, in the order they end; no more than twice ``workers`` are under way."""
        if self.workers == 0:
            yield from ((job, self.function(job)) for job in jobs)
            return
        waiting = iter(jobs)
        while batch := list(islice(waiting, 2 * self.workers)):
            unfinished = yield from self._until_death(batch, waiting)
            for job in unfinished:
                yield job, self._alone(job)

    def _until_death(
        self, batch: list[J], waiting: Iterator[J]
    ) -> Generator[tuple[J, R | WorkerKilledError], None, list[J]]:
        executor = self._executor(self.workers)
        pending: dict[Future[R], J] = {}
        unfinished = list(batch)
        try:
            for job in batch:
                pending[self._submit(executor, job)] = job
            while pending:
                done, _ = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    result = future.result()
                    job = pending.pop(future)
                    unfinished = [other for other in unfinished if other is not job]
                    yield job, result
                    for following in islice(waiting, 1):
                        unfinished.append(following)
                        pending[self._submit(executor, following)] = following
        except BrokenProcessPool:
            # which of those under way was to blame is not known: each gets a process of its own
            return unfinished
        finally:
            executor.shutdown(cancel_futures=True)
        return []

    def _alone(self, job: J) -> R | WorkerKilledError:
        with self._executor(1) as executor:
            try:
                return self._submit(executor, job).result()
            except BrokenProcessPool:
                return WorkerKilledError("its worker process was killed")

    def _submit(self, executor: ProcessPoolExecutor, job: J) -> Future[R]:
        # a new process would import the user's script, which without an `if __name__` guard would start all over
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            return executor.submit(self.function, job)
        finally:
            sys.modules["__main__"] = main

    def _executor(self, workers: int) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(workers, mp_context=self.context, initializer=_end_with_parent)


def _end_with_parent() -> None:
    """Let a worker end when its parent was killed; else it would wait for jobs forever."""
    # Ctrl-C is for the parent, which then ends its workers in order
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait_for([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
