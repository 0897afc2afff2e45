"""Run one job through its bundle in this process: pre-training, a trial, or fine-tuning with its test."""

from __future__ import annotations

import logging
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from monai.bundle import ConfigWorkflow
from torch.nn import Module

from monai_ssl.bundle_folders import bundle_of, config_file
from monai_ssl.config_texts import literal
from monai_ssl.errors import AnotherRunError
from monai_ssl.evaluation import encoder_statistics
from monai_ssl.files import read_json, write_json
from monai_ssl.handlers import TargetStatistics
from monai_ssl.handlers.checkpoint import save_atomically
from monai_ssl.study.execution import reason_of
from monai_ssl.study.folder import JobFolder, StudyFolder
from monai_ssl.study.jobs import CellJob, Job, PretrainingJob, TrialJob
from monai_ssl.study.mlflow_nesting import log_scores
from monai_ssl.study.scoring import Scoring
from monai_ssl.study.tuning import tried_by
from monai_ssl.tasks import Task
from monai_ssl.transfer import read_card

logger = logging.getLogger(__name__)


def do(job: Job, folder: StudyFolder, aside: JobFolder) -> dict[str, Any]:
    """Do a job in the folder ``aside``; return what was measured."""
    if isinstance(job, PretrainingJob):
        return pretrain(job, aside)
    return try_out(job, folder, aside) if isinstance(job, TrialJob) else finetune(job, folder, aside)


def pretrain(job: PretrainingJob, aside: JobFolder) -> dict[str, Any]:
    """Run a pre-training bundle, or what is left of it after a kill; the encoder stays in ``aside``."""
    begun = time.monotonic()
    flow = _workflow([job.config], {**job.overrides, "output_dir": str(aside.root)})
    flow.run()
    card = read_card(aside.encoder)
    assert card is not None
    return {
        "seconds": time.monotonic() - begun,
        "epochs": card.epochs,
        "iterations": card.iterations,
        "patients": card.patients,
        "scans": card.scans,
        "data_fingerprint": card.data_fingerprint,
        "tensors_sha256": card.tensors_sha256,
        "weights": sorted(path.name for path in (aside.encoder, aside.unet) if path.is_file()),
    }


def try_out(job: TrialJob, folder: StudyFolder, aside: JobFolder) -> dict[str, Any]:
    """Train a downstream bundle and return the score on the validation patients; ``None`` where the loss diverged."""
    begun = time.monotonic()
    try:
        _, curve = _trained(job, job.cell, _settings(job.cell, folder, aside), folder)
    except Exception as error:
        if not _caused_by(error, FloatingPointError):
            raise
        _forget(aside)
        return {"validation": None, "diverged": reason_of(error), "seconds": time.monotonic() - begun}
    _forget(aside)
    if not curve:
        raise ValueError(f"The task {job.cell.task} has no validation patients by which to choose `tune`.")
    better = max if job.cell.higher_is_better else min
    score = better(value for _, value in curve) if job.cell.select == "best" else curve[-1][1]
    return {"validation": score, "curve": curve, "seconds": time.monotonic() - begun}


def finetune(job: CellJob, folder: StudyFolder, aside: JobFolder) -> dict[str, Any]:
    """Train a downstream bundle, then score it on the test patients; return the scores, the curve and the time."""
    begun = time.monotonic()
    tried = tried_by(job, folder) if job.trials else []
    chosen = {name: value for one in tried if one.chosen for name, value in one.values.items()}
    overrides = {**_settings(job, folder, aside), **chosen}
    network, curve = _trained(job, job, overrides, folder)
    settings = {**overrides, "checkpoint": str(aside.network)}
    asked = job.target_bn_batches and encoder_statistics(network)
    of_target = _of_target(job, settings, aside) if asked else {}
    _, scores = _tested(job, settings, aside)
    _forget(aside)
    tuning = {"tuning": [asdict(one) for one in tried]} if tried else {}
    result = {**scores, **of_target, **tuning, "curve": curve, "seconds": time.monotonic() - begun}
    log_scores(aside, _run_name(job, folder), result)
    return result


def _trained(job: Job, cell: CellJob, overrides: Mapping[str, Any], folder: StudyFolder) -> tuple[Module, list]:
    """Train, or go on after a kill; anew where what it left was made of other weights or data."""
    try:
        return _train(job, cell, overrides, folder)
    except Exception as error:
        if not _caused_by(error, AnotherRunError):
            raise
        logger.warning("%s begins anew: %s", job.title, reason_of(error))
        shutil.rmtree(overrides["ckpt_dir"])
        return _train(job, cell, overrides, folder)


def _train(job: Job, cell: CellJob, overrides: Mapping[str, Any], folder: StudyFolder) -> tuple[Module, list]:
    """Return the network, which ``ckpt_dir`` holds too, and the validation score by iteration."""
    flow = _workflow([cell.train], {**overrides, "resume": True, "recorder#resume": _run_name(job, folder)})
    trainer, validator, network = (
        flow.parser.get_parsed_content(name) for name in ("train#trainer", "validate#evaluator", "network")
    )
    metric = _task(flow).metric(cell.metric).key
    written = JobFolder(Path(overrides["ckpt_dir"])).curve
    curve: list[list[float]] = read_json(written, [])

    def begin(engine: Engine) -> None:
        # what came after the checkpoint, which is loaded by now, is trained again
        curve[:] = [point for point in curve if point[0] <= engine.state.iteration]

    def remember(engine: Engine) -> None:
        value = float(engine.state.metrics[metric])
        # an AUC of few validation patients that are all of one class is no number
        if math.isfinite(value):
            curve.append([int(trainer.state.iteration), value])
        write_json(written, curve)

    trainer.add_event_handler(Events.STARTED, begin)
    validator.add_event_handler(Events.COMPLETED, remember)
    flow.run()
    if cell.select == "last":
        save_atomically(network.state_dict(), JobFolder(Path(overrides["ckpt_dir"])).network)
    return network, curve


def _forget(aside: JobFolder) -> None:
    """Remove the network: hundreds of cells, each with its own, fill a disk."""
    for file in (aside.checkpoint, aside.network, aside.curve):
        file.unlink(missing_ok=True)


def _caused_by(error: BaseException, kind: type[Exception]) -> bool:
    return isinstance(error, kind) or (error.__cause__ is not None and _caused_by(error.__cause__, kind))


def _tested(job: CellJob, settings: Mapping[str, Any], aside: JobFolder) -> tuple[ConfigWorkflow, dict[str, Any]]:
    """Return what tested, and the scores on the test patients; pictures of an earlier test are replaced."""
    flow = _workflow([job.train, job.evaluate], settings)
    scoring = Scoring(_task(flow), job.metric, aside)
    evaluator, cases = (flow.parser.get_parsed_content(f"validate#{name}") for name in ("evaluator", "dataset#data"))
    scoring.attach(evaluator, cases)
    flow.run()
    return flow, scoring.result()


def _of_target(job: CellJob, settings: Mapping[str, Any], aside: JobFolder) -> dict[str, float]:
    """Return the score with batch norm statistics of the target, and how far they are from the trained ones."""
    try:
        flow, scores = _tested(job, {**settings, "target_bn_batches": job.target_bn_batches}, aside)
    except ValueError as error:
        logger.warning("No score with batch norm statistics of the target: %s", error)
        return {}
    (statistics,) = (h for h in flow.parser.get_parsed_content("validate#handlers") if isinstance(h, TargetStatistics))
    assert statistics.distance is not None
    return {"score_target_bn": float(scores["score"]), "bn_distance": statistics.distance.total}


def _settings(job: CellJob, folder: StudyFolder, aside: JobFolder) -> dict[str, Any]:
    transfer = {"part": job.part, "decoder_weights": str(job.decoder_weights) if job.decoder_weights else None}
    return {
        **job.overrides,
        **{name: value for name, value in transfer.items() if value is not None},
        "weights": str(job.weights or ""),
        "metric": job.metric,
        "output_dir": str(aside.root),
        "ckpt_dir": str(aside.root),
        # all cells read the same files
        "memory": str(folder.data_check),
        # from scratch: the network that the compared methods have
        "encoder": {**job.recipe, "in_channels": "@in_channels"},
    }


def _workflow(configs: Sequence[Path], overrides: Mapping[str, Any]) -> ConfigWorkflow:
    root = bundle_of(configs[0])
    settings = {key: literal(value) for key, value in {"bundle_root": str(root), **overrides}.items()}
    options = {"logging_file": False, "workflow_type": "train", **settings}
    flow = ConfigWorkflow([str(path) for path in configs], str(config_file(root, "metadata")), **options)
    flow.initialize()
    return flow


def _task(flow: ConfigWorkflow) -> Task:
    task: Task = flow.parser.get_parsed_content("task")
    return task


def _run_name(job: Job, folder: StudyFolder) -> str:
    return f"{folder.name}: {job.title} [{job.key}]"
