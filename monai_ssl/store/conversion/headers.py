"""Read headers of DICOM files in other processes: archives hold hundreds of files a scan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from monai_ssl.io.dicom.groups import Seen, each_header
from monai_ssl.machine import bar_interval
from monai_ssl.store.conversion.dask_pool import DaskPool
from monai_ssl.store.conversion.pool import KILLED, WorkerKilledError, WorkerPool

Files = tuple[Path, ...]
HeaderPool = WorkerPool[Files, list[Seen]] | DaskPool[Files, list[Seen]]
_FILES = 256
"""Of a job; fewer are read in this process."""
_PATIENCE = 2.0
"""Seconds before a bar tells how far it is."""


def headers_by(pool: HeaderPool, files: Sequence[Path]) -> Iterator[Seen]:
    """Yield what the header of each file says, in the order of the files.

    Args:
        pool: applies :func:`monai_ssl.io.dicom.groups.read_headers`.
        files: of DICOM.
    """
    if len(files) <= _FILES:
        yield from each_header(files)
        return
    jobs = [tuple(files[start : start + _FILES]) for start in range(0, len(files), _FILES)]
    with tqdm(total=len(files), unit="file", desc="headers", mininterval=bar_interval(), delay=_PATIENCE) as bar:
        for job, seen in _in_order(pool, jobs):
            yield from _one_by_one(pool, job) if isinstance(seen, WorkerKilledError) else seen
            bar.update(len(job))


def _in_order(pool: HeaderPool, jobs: Sequence[Files]) -> Iterator[tuple[Files, list[Seen] | WorkerKilledError]]:
    ended: dict[Files, list[Seen] | WorkerKilledError] = {}
    order = iter(jobs)
    following = next(order, None)
    for job, seen in pool.run(jobs):
        ended[job] = seen
        while following in ended:
            yield following, ended.pop(following)
            following = next(order, None)


def _one_by_one(pool: HeaderPool, files: Files) -> Iterator[Seen]:
    """Find the file that a worker died of; the others are read."""
    for _, seen in _in_order(pool, [(file,) for file in files]):
        yield from [KILLED] if isinstance(seen, WorkerKilledError) else seen


__all__ = ["HeaderPool", "headers_by"]
