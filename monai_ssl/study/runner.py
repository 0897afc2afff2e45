"""One pre-training or one cell, through the bundles, in this process."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigWorkflow

from monai_ssl.evaluation import encoder_statistics
from monai_ssl.handlers import Export, TargetStatistics
from monai_ssl.study.cells import Job, StudyFolder
from monai_ssl.study.mlflow_nesting import log_scores
from monai_ssl.study.scoring import Scoring
from monai_ssl.study.scoring_names import METRICS
from monai_ssl.transfer import read_card

logger = logging.getLogger(__name__)
ENCODER = "encoder.safetensors"


def pretrain(job: Job, folder: StudyFolder, aside: Path) -> dict[str, Any]:
    """Run a pre-training bundle, or what is left of it after a kill; the encoder stays in ``aside``."""
    begun = time.monotonic()
    flow = _workflow([job.work["config"]], {**job.work["overrides"], "output_dir": str(aside)})
    trainer = flow.parser.get_parsed_content("train#trainer")
    checkpoint = aside / "checkpoint.pt"
    saved = torch.load(checkpoint, map_location="cpu", weights_only=True) if checkpoint.is_file() else None
    if saved is not None and saved["epoch"] >= trainer.state.max_epochs:
        _export_again(flow, trainer, saved)
    else:
        flow.run()
    card = read_card(aside / ENCODER)
    assert card is not None
    return {
        "seconds": time.monotonic() - begun,
        "epochs": card.epochs,
        "iterations": card.iterations,
        "patients": card.patients,
        "scans": card.scans,
        "data_fingerprint": card.data_fingerprint,
        "tensors_sha256": card.tensors_sha256,
    }


def finetune(job: Job, folder: StudyFolder, aside: Path) -> dict[str, Any]:
    """Train a downstream bundle, then score it on the test patients; return the scores, the curve and the time."""
    begun = time.monotonic()
    overrides = {**_overrides(job, folder), "output_dir": str(aside), "ckpt_dir": str(aside)}
    flow = _workflow(job.work["configs"][:1], {**overrides, "recorder#resume": _run_name(job, folder)})
    trainer, validator, network = (
        flow.parser.get_parsed_content(name) for name in ("train#trainer", "validate#evaluator", "network")
    )
    metric = f"val_{job.facts['metric']}"
    curve: list[list[float]] = []

    def remember(engine: Engine) -> None:
        curve.append([int(trainer.state.iteration), float(engine.state.metrics[metric])])

    validator.add_event_handler(Events.COMPLETED, remember)
    flow.run()
    checkpoint = aside / "model.pt"
    if job.facts["select"] == "last":
        torch.save(network.state_dict(), checkpoint)
    settings = {**overrides, "checkpoint": str(checkpoint)}
    asked = job.work["target_bn_batches"] and encoder_statistics(network)
    of_target = _of_target(job, settings, aside) if asked else {}
    _, scores = _tested(job, settings, aside)
    # hundreds of cells, each with its network, fill a disk
    checkpoint.unlink()
    result = {**scores, **of_target, "curve": curve, "seconds": time.monotonic() - begun}
    log_scores(aside, _run_name(job, folder), result)
    return result


def _tested(job: Job, settings: Mapping[str, Any], aside: Path) -> tuple[ConfigWorkflow, dict[str, Any]]:
    """Return what tested, and the scores on the test patients; pictures of an earlier test are replaced."""
    flow = _workflow(job.work["configs"], settings)
    scoring = Scoring(job.work["kind"], job.facts["metric"], _classes(flow, job.work["kind"]), aside)
    evaluator, cases = (flow.parser.get_parsed_content(f"validate#{name}") for name in ("evaluator", "dataset#data"))
    scoring.attach(evaluator, cases)
    flow.run()
    return flow, scoring.result()


def _of_target(job: Job, settings: Mapping[str, Any], aside: Path) -> dict[str, float]:
    """Return the score with batch norm statistics of the target, and how far they are from the trained ones."""
    try:
        flow, scores = _tested(job, {**settings, "target_bn_batches": job.work["target_bn_batches"]}, aside)
    except ValueError as error:
        logger.warning("No score with batch norm statistics of the target: %s", error)
        return {}
    (statistics,) = (h for h in flow.parser.get_parsed_content("validate#handlers") if isinstance(h, TargetStatistics))
    assert statistics.distance is not None
    return {"score_target_bn": float(scores["score"]), "bn_distance": statistics.distance.total}


def _overrides(job: Job, folder: StudyFolder) -> dict[str, Any]:
    weights = folder.place("pretraining", job.needs) / ENCODER if job.needs else job.work["weights"]
    kind, metric = job.work["kind"], job.facts["metric"]
    handler = {**METRICS[kind][metric], "output_transform": "$monai.handlers.from_engine(['pred', 'label'])"}
    overrides = {**job.work["overrides"], "weights": str(weights or "")}
    overrides["validate#key_metric"] = {"val_auc" if kind == "classification" else f"val_{metric}": handler}
    # from scratch: the network that the compared methods have
    overrides["encoder"] = {**job.work["encoder"], "in_channels": "@in_channels"}
    return overrides


def _workflow(configs: list[str], overrides: Mapping[str, Any]) -> ConfigWorkflow:
    root = Path(configs[0]).parents[1]
    meta = root / "configs" / "metadata.json"
    flow = ConfigWorkflow(
        configs, str(meta), logging_file=False, workflow_type="train", bundle_root=str(root), **overrides
    )
    flow.initialize()
    return flow


def _export_again(flow: ConfigWorkflow, trainer: Any, saved: Mapping[str, Any]) -> None:
    """Write the encoder of a training that was killed between its last checkpoint and the export."""
    trainer.method.load_state_dict(saved["method"])
    trainer.state.epoch, trainer.state.iteration = saved["epoch"], saved["iteration"]
    for handler in flow.parser.get_parsed_content("train#handlers"):
        if isinstance(handler, Export):
            handler(trainer)


def _classes(flow: ConfigWorkflow, kind: str) -> list[str]:
    if kind == "classification":
        return [str(name) for name in flow.parser.get_parsed_content("classes")]
    labels = flow.parser.get_parsed_content("labels")
    firsts = {name: min(value) if isinstance(value, (list, tuple)) else value for name, value in labels.items()}
    return sorted(firsts, key=lambda name: firsts[name])


def _run_name(job: Job, folder: StudyFolder) -> str:
    return f"{folder.root.resolve().name}: {job.title} [{job.key}]"


WORK = {"pretraining": pretrain, "cell": finetune}
"""What a worker does, by kind of job."""
