"""Run jobs on the machines of a Dask cluster; what a lost machine was doing is done by others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Generic

from monai_ssl.dask_client import await_workers, dask_client
from monai_ssl.store.conversion.pool import J, R, WorkerKilledError

_LOOK_SECONDS = 60.0
"""Without a result, after which it is looked whether there are workers left."""


class DaskPool(Generic[J, R]):
    """Applies a function to jobs, as :class:`monai_ssl.store.conversion.pool.WorkerPool` does.

    Args:
        function: importable by the workers of the cluster.
    """

    def __init__(self, function: Callable[[J], R]) -> None:
        self.function = function

    def run(self, jobs: Iterable[J]) -> Iterator[tuple[J, R | WorkerKilledError]]:
        """Yield each job with its result, in the order they end; twice as many as there are threads are under way.

        A job that several workers died of, as many as Dask's ``distributed.scheduler.allowed-failures`` says, is
        given up.

        Raises:
            ValueError: when Dask is not installed, or nobody answers at the address of its scheduler.
        """
        with dask_client() as client:
            from distributed import Future, KilledWorker, wait

            waiting = iter(jobs)
            pending: dict[Future, J] = {}

            def submit() -> None:
                # machines come and go
                most = 2 * max(1, sum(client.nthreads().values()))
                for job in islice(waiting, max(0, most - len(pending))):
                    pending[client.submit(self.function, job, pure=False)] = job

            submit()
            while pending:
                try:
                    ended = wait(list(pending), _LOOK_SECONDS, "FIRST_COMPLETED").done
                except asyncio.TimeoutError:
                    await_workers(client)
                    continue
                for future in ended:
                    job = pending.pop(future)
                    killed = isinstance(future.exception(), KilledWorker)
                    yield job, WorkerKilledError("its workers were killed") if killed else future.result()
                    submit()


__all__ = ["DaskPool"]
