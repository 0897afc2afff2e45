"""One job of a study from beginning to end: its folder is there as a whole or not at all, whatever is killed when."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from typing import Any, Literal

from monai_ssl.files import write_json
from monai_ssl.study.folder import JobFolder, StudyFolder
from monai_ssl.study.jobs import Job, PretrainingJob
from monai_ssl.study.locks import held

Status = Literal["done", "failed", "busy"]
Work = Callable[[Job, StudyFolder, JobFolder], Mapping[str, Any]]
"""Do a job in a folder of its own and return what ``result.json`` is to say of it beside its facts."""


def execute(folder: StudyFolder, job: Job, work: Work) -> Status:
    """Do a job unless it is done or somebody is at it; whatever ``work`` raises becomes the reason of its failure.

    A training finds what it left behind when it was killed, as far as it had come to a checkpoint.
    """
    with held(folder.lock(job)) as mine:
        if not mine:
            return "busy"
        if folder.is_done(job):
            return "done"
        aside, final = folder.under_way(job), folder.finished(job).root
        if not aside.checkpoint.is_file():
            _begin(job, folder, aside)
        aside.root.mkdir(parents=True, exist_ok=True)
        aside.sweep()
        try:
            result = work(job, folder, aside)
        except Exception as error:  # one cell of many must not stop the others
            folder.write_failure(job, reason_of(error))
            return "failed"
        write_json(aside.result, {**job.facts(), **result})
        final.parent.mkdir(parents=True, exist_ok=True)
        # of an earlier failure: a folder without a result
        shutil.rmtree(final, ignore_errors=True)
        aside.root.rename(final)
        return "done"


def _begin(job: Job, folder: StudyFolder, aside: JobFolder) -> None:
    """Clear the folder, or take over a finished pre-training whose weights are gone: it has but to write them again."""
    shutil.rmtree(aside.root, ignore_errors=True)
    final = folder.finished(job)
    if isinstance(job, PretrainingJob) and final.checkpoint.is_file():
        aside.root.parent.mkdir(parents=True, exist_ok=True)
        final.root.rename(aside.root)
        aside.result.unlink(missing_ok=True)


def first_cause(error: BaseException) -> BaseException:
    """Return the error that began the chain."""
    return error if error.__cause__ is None else first_cause(error.__cause__)


def reason_of(error: BaseException) -> str:
    """Return the sentence of the error that began the chain, with its kind where it is not one of ours."""
    error = first_cause(error)
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return text if isinstance(error, (ValueError, FileNotFoundError)) and text else f"{type(error).__name__}: {text}"
