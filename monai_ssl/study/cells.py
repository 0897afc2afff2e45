"""The jobs of a study and their state on disk: each a folder that is there as a whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from monai_ssl.files import ASIDE, read_json, write_json
from monai_ssl.study.locks import held

Status = Literal["done", "failed", "busy"]
Kind = Literal["pretraining", "cell"]
RESULT, FAILED = "result.json", "failed.json"
_FOLDERS = {"pretraining": "pretraining", "cell": "cells"}


@dataclass(frozen=True)
class Job:
    """A pre-training, or a cell of the matrix: one fine-tuning with its test.

    Args:
        key: hash of everything that decides the result; the name of its folder.
        kind: decides what is run, and where the folder lies.
        title: for people.
        facts: what its ``result.json`` says beside the scores: method, task, labels, scheme, seed, ...
        work: what the runner needs: bundle, overrides, files.
        needs: key of the pre-training that it starts from.
    """

    key: str
    kind: Kind
    title: str
    facts: Mapping[str, Any]
    work: Mapping[str, Any]
    needs: str | None = None


Work = Callable[[Job, "StudyFolder", Path], Mapping[str, Any]]
"""Do a job in a folder of its own and return what ``result.json`` is to say of it."""


class StudyFolder:
    """The folder of a study.

    ``cells/<key>/`` and ``pretraining/<key>/`` are jobs: finished with ``result.json``, or failed with ``failed.json``,
    which says why. ``jobs/<key>.json`` says what a job is, ``logs/<key>.log`` is what it printed.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def place(self, kind: Kind, key: str) -> Path:
        """Return the folder of a finished job."""
        return self.root / _FOLDERS[kind] / key

    def aside(self, job: Job) -> Path:
        """Return the folder in which a job is being done."""
        return self.root / "under_way" / job.key

    def log(self, job: Job) -> Path:
        return self.root / "logs" / f"{job.key}.log"

    def is_done(self, job: Job) -> bool:
        return (self.place(job.kind, job.key) / RESULT).is_file()

    def write_job(self, job: Job) -> None:
        write_json(self.root / "jobs" / f"{job.key}.json", asdict(job))

    def read_job(self, key: str) -> Job:
        """Return a job by its key.

        Raises:
            KeyError: when the study has no such job.
        """
        content = read_json(self.root / "jobs" / f"{key}.json")
        if content is None:
            raise KeyError(f"{self.root} has no job {key}: run `python -m monai_ssl study` on the study file again.")
        return Job(**content)

    def failure(self, job: Job) -> str | None:
        """Return why a job failed the last time, in words."""
        content = read_json(self.place(job.kind, job.key) / FAILED)
        return None if content is None else str(content["reason"])

    def write_failure(self, job: Job, reason: str) -> None:
        write_json(self.place(job.kind, job.key) / FAILED, {**job.facts, "title": job.title, "reason": reason})


def execute(folder: StudyFolder, job: Job, work: Work) -> Status:
    """Do a job unless it is done or somebody is at it; whatever ``work`` raises becomes the reason of its failure.

    A cell begins anew after a kill, a pre-training finds what it left behind.
    """
    with held(folder.root / "locks" / job.key) as mine:
        if not mine:
            return "busy"
        if folder.is_done(job):
            return "done"
        aside, final = folder.aside(job), folder.place(job.kind, job.key)
        if job.kind == "cell":
            shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True, exist_ok=True)
        for left in aside.rglob(f"{ASIDE}*"):
            left.unlink(missing_ok=True)
        try:
            result = work(job, folder, aside)
        except Exception as error:  # one cell of many must not stop the others
            folder.write_failure(job, reason_of(error))
            return "failed"
        write_json(aside / RESULT, {**job.facts, **result})
        final.parent.mkdir(parents=True, exist_ok=True)
        # of an earlier failure: a folder without a result
        shutil.rmtree(final, ignore_errors=True)
        aside.rename(final)
        return "done"


def reason_of(error: BaseException) -> str:
    """Return the sentence of the error that began the chain, with its kind where it is not one of ours."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return text if isinstance(error, (ValueError, FileNotFoundError)) and text else f"{type(error).__name__}: {text}"
