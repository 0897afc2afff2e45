"""The folder of a study: where everything in it lies, and the small files that say what is done and what failed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_ssl.files import ASIDE, read_json, write_json
from monai_ssl.study.jobs import CellJob, Job, PretrainingJob, TrialJob, job_from_json, job_to_json


@dataclass(frozen=True)
class JobFolder:
    """The folder of one job: finished when it has a result, failed when it says why.

    Args:
        root: its path, which ends with the key of the job.
    """

    root: Path

    @property
    def key(self) -> str:
        return self.root.name

    @property
    def result(self) -> Path:
        return self.root / "result.json"

    @property
    def encoder(self) -> Path:
        """Weights that a pre-training leaves; the bundle names them."""
        return self.root / "encoder.safetensors"

    @property
    def unet(self) -> Path:
        """Weights of encoder and decoder that a pre-training leaves which trains both; the bundle names them."""
        return self.root / "unet.safetensors"

    @property
    def checkpoint(self) -> Path:
        """What a training continues from; the bundle names it."""
        return self.root / "checkpoint.pt"

    @property
    def network(self) -> Path:
        """Network that a fine-tuning leaves; the bundle names it."""
        return self.root / "model.pt"

    @property
    def curve(self) -> Path:
        """Validation score by iteration of a fine-tuning that is under way."""
        return self.root / "curve.json"

    def picture(self, name: str) -> Path:
        """Return the file of a picture by its name in the result.

        Raises:
            ValueError: when the name leads out of the folder.
        """
        path = (self.root / name).resolve()
        if not path.is_relative_to(self.root.resolve()):
            raise ValueError(f"The picture {name!r} lies outside of {self.root}.")
        return path

    def is_done(self) -> bool:
        return self.result.is_file()

    def lost_weights(self) -> list[Path]:
        """Return the weights that a finished pre-training left and that are no longer there."""
        try:
            content = read_json(self.result)
        except ValueError:
            return []
        names = content.get("weights", [self.encoder.name]) if isinstance(content, dict) else []
        return [self.root / str(name) for name in names if not (self.root / str(name)).is_file()]

    def failure(self) -> str | None:
        """Return why the job failed the last time, in words."""
        try:
            content = read_json(self._failed)
            return None if content is None else str(content["reason"])
        except (OSError, ValueError, TypeError, KeyError):
            return f"It failed, but {self._failed} cannot be read."

    def write_failure(self, job: Job, reason: str) -> None:
        write_json(self._failed, {**job.facts(), "title": job.title, "reason": reason})

    def sweep(self) -> None:
        """Remove what a killed process was writing; call it only where no other process writes."""
        for left in self.root.rglob(f"{ASIDE}*"):
            left.unlink(missing_ok=True)

    @property
    def _failed(self) -> Path:
        return self.root / "failed.json"


@dataclass(frozen=True)
class StudyFolder:
    """The folder of a study; nobody else knows what lies where in it.

    ``cells/<key>/``, ``trials/<key>/`` and ``pretraining/<key>/`` are jobs, ``jobs/<key>.json`` says what a job is,
    ``logs/<key>.log`` is what it printed, ``study.json`` what was asked for, ``split.json`` who is in which section,
    ``report.html`` what came out.

    Args:
        root: its path.

    >>> StudyFolder(Path("studies/liver")).report.as_posix()
    'studies/liver/report.html'
    """

    root: Path

    @property
    def name(self) -> str:
        return self.root.resolve().name

    @property
    def record(self) -> Path:
        """What was asked for, and the cells that belong to it."""
        return self.root / "study.json"

    @property
    def split(self) -> Path:
        return self.root / "split.json"

    @property
    def hashes(self) -> Path:
        """Hashes of the files of the tasks, remembered."""
        return self.root / "hashes.json"

    @property
    def data_check(self) -> Path:
        """What fine-tunings found in the files of the tasks, remembered."""
        return self.root / "data_check.json"

    @property
    def preparing(self) -> Path:
        """Lock of who prepares the data."""
        return self.root / ".preparing"

    @property
    def report(self) -> Path:
        return self.root / "report.html"

    @property
    def table(self) -> Path:
        """A row for each cell."""
        return self.root / "table.csv"

    @property
    def summary(self) -> Path:
        """A row for each arm."""
        return self.root / "summary.csv"

    def store(self, source: Path, patients: str | None = None) -> Path:
        """Return the store that a tree of scans is prepared into, one for each way to tell its patients."""
        return self.root / "stores" / _short(f"{source} {patients}" if patients else str(source))

    def phantoms(self, kind: str) -> Path:
        return self.root / "phantoms" / kind

    def exclusion(self, store: Path, patients: Sequence[str]) -> Path:
        """Return the split that keeps patients of a store out of pre-training.

        One for each store and test set, since a study file may change between two runs.
        """
        return self.root / "exclude" / f"{_short(str(store))}_{_short(' '.join(patients))}.json"

    def datalist(self, task: str, labels: int, seed: int) -> Path:
        """Return the list of cases that a cell trains and is tested on; their files are often named after patients."""
        return self.root / "private" / "lists" / f"{task}_{labels}_{seed}.json"

    def lock(self, job: Job) -> Path:
        return self.root / "locks" / job.key

    def log(self, job: Job) -> Path:
        return self.root / "logs" / f"{job.key}.log"

    def under_way(self, job: Job) -> JobFolder:
        """Return the folder in which a job is being done."""
        return JobFolder(self.root / "under_way" / job.key)

    def finished(self, job: Job) -> JobFolder:
        """Return the folder in which a job ends, done or failed."""
        if isinstance(job, TrialJob):
            return self.trial(job.key)
        return self.cell(job.key) if isinstance(job, CellJob) else self.pretraining(job.key)

    def trial(self, key: str) -> JobFolder:
        return JobFolder(self.root / "trials" / key)

    def pretraining(self, key: str) -> JobFolder:
        return JobFolder(self.root / "pretraining" / key)

    def cell(self, key: str) -> JobFolder:
        return JobFolder(self._cells / key)

    def done_cells(self) -> list[JobFolder]:
        """Return the folders of the cells with a result, sorted by key."""
        found = (JobFolder(path) for path in sorted(self._cells.glob("*")))
        return [cell for cell in found if cell.is_done()]

    def is_done(self, job: Job) -> bool:
        """Whether a job has its result and, of a pre-training, the weights that cells start from."""
        finished = self.finished(job)
        return finished.is_done() and not (isinstance(job, PretrainingJob) and finished.lost_weights())

    def failure(self, job: Job) -> str | None:
        """Return why a job failed the last time, in words."""
        return self.finished(job).failure()

    def write_failure(self, job: Job, reason: str) -> None:
        self.finished(job).write_failure(job, reason)

    def write_job(self, job: Job) -> None:
        write_json(self._job(job.key), job_to_json(job))

    def read_job(self, key: str) -> Job:
        """Return a job by its key.

        Raises:
            KeyError: when the study has no such job.
            ValueError: when another version wrote it.
        """
        content = read_json(self._job(key))
        if content is None:
            raise KeyError(f"{self.root} has no job {key}: run `python -m monai_ssl study` on the study file again.")
        return job_from_json(content)

    def write_record(self, record: Mapping[str, Any], cells: Iterable[CellJob]) -> None:
        """Write what was asked for, and the cells that belong to it now."""
        write_json(self.record, {**record, "cells": [{"key": cell.key, **cell.facts()} for cell in cells]})

    def read_record(self) -> dict[str, Any]:
        """Return what ``study.json`` says; nothing where it is not there or cannot be read."""
        try:
            content = read_json(self.record)
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def listed_cells(self) -> dict[str, Mapping[str, Any]]:
        """Return the facts of the cells that belong to the study, by key; none where the record has no list."""
        listed = self.read_record().get("cells")
        facts = [cell for cell in listed if isinstance(cell, Mapping)] if isinstance(listed, list) else []
        return {str(cell["key"]): cell for cell in facts if "key" in cell}

    @property
    def _cells(self) -> Path:
        return self.root / "cells"

    def _job(self, key: str) -> Path:
        return self.root / "jobs" / f"{key}.json"


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
