"""Nested MLflow runs: one parent run for a study, a child for every training."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from monai_ssl.errors import printable
from monai_ssl.handlers.mlflow_run import PARENT_VARIABLE, MLflowRun, metric_name, now_milliseconds, prepare_mlflow
from monai_ssl.mlflow_place import RECORD, URI_VARIABLE, checked_uri, record_uri
from monai_ssl.study.folder import JobFolder, StudyFolder

logger = logging.getLogger(__name__)
EXPERIMENT = "monai_ssl"


class StudyRun:
    """The run of a study; a record that cannot be kept never stops a study.

    Args:
        folder: of the study, which holds the default record.
        params: to record.
    """

    def __init__(self, folder: StudyFolder, params: Mapping[str, Any]) -> None:
        self.uri = record_uri(folder.root, f"sqlite:///{folder.root.resolve() / RECORD}")
        self.run: MLflowRun | None = None
        try:
            prepare_mlflow()
            self.run = MLflowRun(checked_uri(self.uri), EXPERIMENT, f"study {folder.name}")
            self.run.log_params(params)
        except Exception as error:
            logger.warning("MLflow at %s does not record this study: %s", printable(self.uri), printable(str(error)))

    def environment(self) -> dict[str, str]:
        """Return the variables with which a training nests itself."""
        return {URI_VARIABLE: self.uri, **({PARENT_VARIABLE: self.run.id} if self.run else {})}

    def finish(self, metrics: Mapping[str, float], failed: bool) -> None:
        """Close the run."""
        if self.run is None:
            return
        try:
            self.run.log_metrics(metrics, 0, now_milliseconds())
            self.run.finish("FAILED" if failed else "FINISHED")
        except Exception as error:
            logger.warning("MLflow did not record the end of the study: %s", error)


def log_scores(folder: JobFolder, run_name: str, result: Mapping[str, Any]) -> None:
    """Add the scores on the test patients to the run of a cell."""
    try:
        run = MLflowRun(record_uri(folder.root), EXPERIMENT, run_name)
        classes = {metric_name(f"test/{name}"): value for name, value in result["per_class"].items()}
        run.log_metrics({"test/score": result["score"], **classes}, 0, now_milliseconds())
        for name in result["pictures"]:
            run.client.log_artifact(run.id, str(folder.picture(name)), "pictures")
        run.finish("FINISHED")
    except Exception as error:
        logger.warning("MLflow did not record the scores: %s", error)
