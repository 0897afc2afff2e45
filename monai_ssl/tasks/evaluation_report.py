"""Report of an evaluation: a CSV with a row a case and a column a structure or class, and the scores in MLflow."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from ignite.engine import Engine, Events
from torch import Tensor

from monai_ssl.data.cases import Case
from monai_ssl.errors import printable
from monai_ssl.files import atomic, csv_text
from monai_ssl.handlers.mlflow_run import PARENT_VARIABLE, MLflowRun, metric_name, now_milliseconds, prepare_mlflow
from monai_ssl.mlflow_place import NOTE, checked_uri, read_note, record_uri
from monai_ssl.tasks.base import Task

_logger = logging.getLogger(__name__)
CASES = "cases.csv"


class EvaluationReport:
    """Ignite handler of an evaluator that writes ``cases.csv`` and adds the scores to the MLflow run of the training.

    The table names the images, so that only its owner can read it; nothing of it goes to MLflow, which gets the
    metrics as ``<section>/<metric>`` and a mean for each structure. A study keeps its own record, without names.

    Args:
        task: says what the columns are.
        metric: short name of the metric whose values the columns hold, where a task has one for each structure.
        cases: in the order of the evaluator's loader.
        output_dir: gets the table.
        checkpoint: model that is evaluated; the folder of its training knows the MLflow run.
        section: of the data list, such as ``"test"``.

    >>> from monai_ssl.tasks import Segmentation
    >>> report = EvaluationReport(Segmentation({"liver": 1}), "dice", [{"image": "a.nii.gz"}], "out", "run/model.pt")
    >>> str(report.training), report.section
    ('run', 'test')
    """

    def __init__(
        self,
        task: Task,
        metric: str,
        cases: Sequence[Case],
        output_dir: str | Path,
        checkpoint: str | Path,
        section: str = "test",
    ) -> None:
        self.task, self.metric, self.cases, self.section = task, metric, cases, section
        self.output_dir = Path(output_dir)
        # a `ckpt_dir` of its own holds the model only
        folders = (Path(checkpoint).parent, self.output_dir)
        self.training = next((folder for folder in folders if (folder / NOTE).is_file()), folders[0])
        self.kept: list[Any] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, lambda _: self.kept.clear())
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._remember)
        engine.add_event_handler(Events.COMPLETED, self._report)

    def _remember(self, engine: Engine) -> None:
        self.kept += [self.task.keep(sample) for sample in cast(list[Mapping[str, Tensor]], engine.state.output)]

    def _report(self, engine: Engine) -> None:
        details = (getattr(engine.state, "metric_details", None) or {}).get(self.task.metric(self.metric).key)
        table = self.task.table(self.metric, self.kept, None if details is None else torch.as_tensor(details).cpu())
        in_study = PARENT_VARIABLE in os.environ
        images = [str(n) if in_study else str(case["image"]) for n, case in enumerate(self.cases)]
        self._write({"image": images, **table})
        if not in_study:
            self._record({name: float(value) for name, value in engine.state.metrics.items()}, table)

    def _write(self, table: Mapping[str, Sequence[Any]]) -> None:
        rows = ([_shown(value) for value in row] for row in zip(*table.values(), strict=True))
        with atomic(self.output_dir / CASES, 0o600) as file:
            file.write(csv_text([table, *rows]).encode())

    def _record(self, metrics: Mapping[str, float], table: Mapping[str, Sequence[Any]]) -> None:
        """Add the scores to the run of the training, or to one of their own; what goes wrong there costs a warning."""
        scores = {**metrics, **_means(table)}
        found = {metric_name(f"{self.section}/{name.removeprefix('val_')}"): value for name, value in scores.items()}
        own, _ = read_note(self.training)
        try:
            prepare_mlflow()
            name = own or f"evaluation-{time.strftime('%Y%m%d-%H%M%S')}"
            run = MLflowRun(checked_uri(record_uri(self.training)), "monai_ssl", name)
            run.log_metrics(found, 0, now_milliseconds())
            run.finish("FINISHED")
        except Exception as error:
            _logger.warning("MLflow did not record the evaluation: %s", printable(str(error)))


def _means(table: Mapping[str, Sequence[Any]]) -> dict[str, float]:
    """Return the mean of each column of scores, over the cases that have one."""
    columns = {name: torch.tensor(values) for name, values in table.items() if all(type(v) is float for v in values)}
    return {name: float(column.nanmean()) for name, column in columns.items()}


def _shown(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value


__all__ = ["CASES", "EvaluationReport"]
