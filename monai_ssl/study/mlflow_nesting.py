"""Nested MLflow runs: one parent run for a study, a child for every training."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from monai_ssl.errors import printable
from monai_ssl.handlers.mlflow_run import PARENT_VARIABLE, MLflowRun, metric_name, now_milliseconds, prepare_mlflow
from monai_ssl.mlflow_place import RECORD, URI_VARIABLE, checked_uri, local_record, record_uri
from monai_ssl.study.folder import JobFolder, StudyFolder

logger = logging.getLogger(__name__)
EXPERIMENT = "monai_ssl"


class StudyRun:
    """The run of a study; a record that cannot be kept never stops a study.

    Where a server does not answer, the study and what it starts are recorded in its own database.

    Args:
        folder: of the study, which holds the default record.
        params: to record.
    """

    def __init__(self, folder: StudyFolder, params: Mapping[str, Any]) -> None:
        self.local = f"sqlite:///{folder.root.resolve() / RECORD}"
        self.uri = record_uri(folder.root, self.local)
        self.name, self.params = f"study {folder.name}", dict(params)
        self.run: MLflowRun | None = None
        try:
            prepare_mlflow()
            checked_uri(self.uri)
        except Exception as error:
            logger.warning("MLflow at %s does not record this study: %s", printable(self.uri), printable(str(error)))
            return
        self._record(lambda run: None)

    def environment(self) -> dict[str, str]:
        """Return the variables with which a training nests itself."""
        return {URI_VARIABLE: self.uri, **({PARENT_VARIABLE: self.run.id} if self.run else {})}

    def finish(self, metrics: Mapping[str, float], failed: bool) -> None:
        """Close the run."""
        if self.run is None:
            return

        def end(run: MLflowRun) -> None:
            run.log_metrics(metrics, 0, now_milliseconds())
            run.finish("FAILED" if failed else "FINISHED")

        self._record(end)

    def _record(self, call: Callable[[MLflowRun], None]) -> None:
        """Do something with the run; where its server fails, begin it again in the database of the study."""
        for uri in dict.fromkeys((self.uri, self.local)):
            try:
                if self.run is None or uri != self.uri:
                    self.run, self.uri = MLflowRun(uri, EXPERIMENT, self.name), uri
                    self.run.log_params(self.params)
                call(self.run)
                return
            except Exception as error:
                logger.warning("MLflow at %s does not record this study: %s", printable(uri), printable(str(error)))


def log_scores(folder: JobFolder, run_name: str, result: Mapping[str, Any]) -> None:
    """Add the scores on the test patients to the run of a cell, where its server fails to the local record."""
    for uri in dict.fromkeys((record_uri(folder.root), f"sqlite:///{local_record(folder.root)}")):
        try:
            _log_scores(MLflowRun(uri, EXPERIMENT, run_name), folder, result)
            return
        except Exception as error:
            logger.warning("MLflow at %s did not record the scores: %s", printable(uri), printable(str(error)))


def _log_scores(run: MLflowRun, folder: JobFolder, result: Mapping[str, Any]) -> None:
    classes = {metric_name(f"test/{name}"): value for name, value in result["per_class"].items()}
    run.log_metrics({"test/score": result["score"], **classes}, 0, now_milliseconds())
    for name in result["pictures"]:
        run.client.log_artifact(run.id, str(folder.picture(name)), "pictures")
    run.finish("FINISHED")
