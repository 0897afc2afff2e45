"""Run a study from plan to report: data, pre-training, fine-tuning cells; resumable."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from monai_ssl.console import in_columns
from monai_ssl.study.execution import Status
from monai_ssl.study.folder import StudyFolder
from monai_ssl.study.jobs import Job
from monai_ssl.study.matrix import Arm, arms, options_of
from monai_ssl.study.mlflow_nesting import StudyRun
from monai_ssl.study.parallel import Launch, Processes, pool, run_jobs, still_to_do, visible_gpus
from monai_ssl.study.plan import Study
from monai_ssl.study.study_data import Prepared, prepare_study
from monai_ssl.study.tuning import candidates


@dataclass(frozen=True)
class StudySummary:
    """What became of a study.

    Args:
        done: cells with a result.
        failed: title and reason of the jobs without.
        report: the page.
    """

    done: int
    failed: tuple[tuple[str, str], ...]
    report: Path


def run_study(
    study: Study,
    *,
    workers: int = 1,
    backend: str = "processes",
    launch: Launch | None = None,
    say: Callable[[str], None] = print,
) -> StudySummary:
    """Do what is not done yet, then write the report.

    Args:
        study: checked.
        workers: jobs at once.
        backend: ``"processes"`` or ``"dask"``.
        launch: how to do a job; a process for each by default.
        say: takes lines for the user.

    Raises:
        ValueError: when the data does not fit the study.
    """
    from monai_ssl.study.report.report import write_report

    folder = StudyFolder(study.output_dir)
    folder.root.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.preparing):
        prepared = prepare_study(study, folder)
        folder.write_record(_account(study, prepared), prepared.cells)
    for name, count in prepared.held_back.items():
        found = f"{count} test patients found in its data, {_what(study)}" if count else "no test patients in its data"
        say(f"{name}: {found}")
    run = StudyRun(folder, _params(study))
    begun, counts = time.monotonic(), Counter[str]()
    total = len(prepared.jobs)
    already = total - len(still_to_do(folder, prepared.jobs))
    if study.results is not None:
        say(f"{prepared.taken} results taken from {study.results.name}")
    say(f"{study.name}: {total} jobs, {already} done before")

    def tell(job: Job, status: Status) -> None:
        counts[status] += 1
        reason = f": {folder.failure(job)}" if status == "failed" else ""
        elapsed = time.monotonic() - begun
        say(f"[{already + sum(counts.values())}/{total}, {elapsed:.0f} s] {job.title}: {status}{reason}")

    with pool(backend, workers) as (executor, slots):
        launch = launch or Processes(slots, run.environment(), visible_gpus() if backend == "processes" else ())
        status = run_jobs(folder, prepared.jobs, launch, executor, slots, tell)
    failed = tuple((job.title, str(folder.failure(job))) for job in prepared.jobs if status[job.key] == "failed")
    done = sum(folder.is_done(cell) for cell in prepared.cells)
    run.finish({"cells": done, "failed": len(failed), "seconds": time.monotonic() - begun}, bool(failed))
    return StudySummary(done, failed, write_report(folder.root))


def table_of(study: Study) -> str:
    """Return the matrix in words, without a look at any data."""
    rows: list[Sequence[str]] = [("method", "task", "scheme", "part", "encoder", "normalized")]
    found = arms(study)
    rows += [(a.method, a.task.name, a.scheme, _part(a), _encoder(a), a.normalize or "no") for a in found]
    lines = in_columns(rows)
    repeats = len(study.labels) * len(study.seeds)
    trained = sum(method.bundle is not None for method in study.pretraining)
    trained *= len(study.seeds) if study.pretrain == "per_seed" or study.leave_out_labeled else 1
    trained *= len(study.labels) * len(study.tasks) if study.leave_out_labeled else 1
    most = "at most " if study.leave_out_labeled else ""
    if study.tune:
        tried = sum(len(candidates(study.tune, str(options_of(study, a)["scheme"]))) for a in found)
        lines.append(f"{tried * len(study.labels) * study.tune_seeds} trials before, on validation patients")
    lines.append(
        f"{most}{trained} pre-trainings; {len(found)} arms x {len(study.labels)} numbers of labels "
        f"({', '.join(map(str, study.labels))}) x {len(study.seeds)} seeds = {len(found) * repeats} cells"
    )
    return "\n".join(lines)


def _encoder(arm: Arm) -> str:
    return str(arm.encoder["_target_"]).rsplit(".", 1)[-1]


def _part(arm: Arm) -> str:
    decoder = arm.pretraining.decoder if arm.pretraining and arm.transferred == "both" else None
    return arm.transferred + (f", decoder of {decoder}" if decoder else "")


def _account(study: Study, prepared: Prepared) -> dict[str, object]:
    return {
        "name": study.name,
        **_params(study),
        "tasks": {
            task.name: {
                "bundle": task.bundle.name,
                "metric": task.metric,
                "imbalance": task.imbalance,
                "hard_cutoff": task.hard_cutoff,
                "overrides": dict(task.overrides),
                "patients": {k: len(v) for k, v in prepared.cohorts[task.name].patients().items()},
            }
            for task in study.tasks
        },
        "pretraining": {
            method.name: {
                "bundle": method.bundle.name if method.bundle else None,
                "config": method.config,
                "overrides": dict(method.overrides),
                "encoder": dict(method.encoder),
                "part": method.part,
                "decoder": method.decoder,
                "test_patients_held_back": prepared.held_back.get(method.name),
            }
            for method in study.pretraining
        },
        "schemes": {name: dict(options) for name, options in study.schemes.items()},
    }


def _params(study: Study) -> dict[str, object]:
    return {
        "seeds": list(study.seeds),
        "labels": list(study.labels),
        "select": study.select,
        "target_bn_batches": study.target_bn_batches,
        "allow_leak": study.allow_leak,
        "pretrain": study.pretrain,
        **({"tune": dict(study.tune), "tune_seeds": study.tune_seeds} if study.tune else {}),
        "leave_out_labeled": study.leave_out_labeled,
        **({"results": study.results.name} if study.results else {}),
    }


def _what(study: Study) -> str:
    return "and kept in: scores say nothing about new patients" if study.allow_leak else "kept out of pre-training"
