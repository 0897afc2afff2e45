"""What can be said without data: the model card, and the curves of the training from its MLflow record."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from pathlib import Path

from monai_ssl.analysis.pictures import curves
from monai_ssl.analysis.section import Picture, Section, Table
from monai_ssl.analysis.trained_run import TrainedRun
from monai_ssl.mlflow_place import NOTE, local_record, read_note

Curves = dict[str, list[tuple[float, float]]]
"""(iteration, value) by name of the metric, in the order of iterations."""

_QUIET = ("time/", "epoch")
_PRETEXT = "Terms of a pretext loss that fall do not say that features transfer: a probe or a fine-tuning does."


def card_section(run: TrainedRun) -> Section:
    """Return what the model card says of the encoder and of the images that it expects."""
    card = run.card
    weights = sum(p.numel() for p in run.encoder.parameters())
    told = {
        "method": f"{card.method}, preset {card.preset}",
        "encoder": json.dumps(dict(card.encoder), sort_keys=True),
        "weights": f"{weights:,}",
        "maps": ", ".join(f"{c} at 1/{s}" for c, s in zip(run.encoder.channels, run.encoder.strides, strict=True)),
        "trained on": f"{card.scans} scans of {card.patients} patients, {card.epochs} epochs" if card.scans else "–",
        "modality": card.modality,
        "intensities": f"{json.dumps(dict(card.intensity), sort_keys=True)}, then normalized: {card.normalize or 'no'}",
        "spacing": "as acquired" if card.spacing is None else f"{' x '.join(f'{s:g}' for s in card.spacing)} mm",
    }
    if run.classifier is not None:
        told["classes"] = ", ".join(run.classes)
    numbers = {"card": json.loads(card.to_json()), "weights": weights}
    return Section("card", "The run", (), numbers, Table(("What", "Of this run"), [*told.items()]))


def curves_section(run: TrainedRun) -> Section:
    """Return the curves of the training; a sentence where the folder holds no record of it."""
    found = read_curves(run.folder)
    if not found:
        said = (
            f"No curves: `{NOTE}` in the folder names no local MLflow database with this run. The record is elsewhere "
            "when MLFLOW_TRACKING_URI was set in training.",
        )
        return Section("curves", "Training", said, {})
    last = {name: points[-1][1] for name, points in found.items()}
    rows = [(name, f"{points[0][1]:.3g}", f"{points[-1][1]:.3g}") for name, points in found.items()]
    picture = Picture(curves(_panels(found), "iteration"), "Each metric of the MLflow record over the iterations.")
    told = [] if run.is_fine_tuned else [_PRETEXT]
    return Section("curves", "Training", told, last, Table(("Metric", "First", "Last"), rows), (picture,))


def read_curves(folder: Path) -> Curves:
    """Return the metrics of the run that a folder holds the MLflow record of; nothing where there is none.

    Raises:
        ValueError: when the record cannot be read.
    """
    name, record = read_note(folder)[0], local_record(folder)
    if name is None or not record.is_file():
        return {}
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient
    from sqlalchemy.exc import SQLAlchemyError

    try:
        client = MlflowClient(f"sqlite:///{record}")
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        runs = [run for run in client.search_runs(experiments) if run.info.run_name == name]
        histories = {
            key: client.get_metric_history(run.info.run_id, key) for run in runs[:1] for key in run.data.metrics
        }
    except (MlflowException, SQLAlchemyError) as error:
        raise ValueError(f"{record} is no MLflow database that can be read ({error}); restore it.") from error
    points = {key: sorted((float(m.step), float(m.value)) for m in found) for key, found in histories.items()}
    finite = {key: [p for p in found if math.isfinite(p[1])] for key, found in points.items()}
    return {key: found for key, found in sorted(finite.items()) if found and not key.startswith(_QUIET)}


def _panels(found: Curves) -> dict[str, Curves]:
    """Put what shares the prefix ``probe/`` into a panel, and a term beside its value on validation patients."""
    panels: dict[str, Curves] = defaultdict(dict)
    for name, points in found.items():
        prefix, _, rest = name.partition("/")
        together = rest in found or prefix == "probe"
        panels[rest if rest in found else prefix if together else name][name] = points
    return panels
