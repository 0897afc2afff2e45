"""MLflow run: experiment, parent and resumed run; parameters, metrics, artifacts, data set and registered model."""

from __future__ import annotations

import json
import logging
import os
import platform
import subprocess
import time
import uuid
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from monai_ssl.errors import printable
from monai_ssl.mlflow_place import sqlite_file
from monai_ssl.transfer import read_card

PARENT_VARIABLE = "MONAI_SSL_PARENT_RUN"
_LONGEST_VALUE = 500
_PARAMS_A_CALL = 100
_LONGEST_DIGEST = 36
_SCORE = "score"
_CURVES = "runs?compareRunsMode=CHART&workflowType=machine_learning"
"""Without the workflow the pages of MLflow 3 open on traces of language models, whatever kind an experiment is of."""
_PACKAGES = ("monai-ssl", "monai", "torch", "pytorch-ignite", "numpy", "mlflow")


class MLflowRun:
    """A run of MLflow, found by its unique name or made; every member may fail when the server does.

    Only the client interface of MLflow is used, never its global active run, so several runs may be open in one
    process. Neither host nor user names are recorded.

    Args:
        uri: ``sqlite:///<file>`` or ``http(s)://<server>``.
        experiment: name of the experiment, made when missing.
        run_name: unique name of the run, or the id of an existing run.
    """

    def __init__(self, uri: str, experiment: str, run_name: str) -> None:
        file = sqlite_file(uri)
        if file is None:
            self._open(uri, experiment, run_name, None)
            return
        from filelock import FileLock

        file.parent.mkdir(parents=True, exist_ok=True)
        # two jobs that create the same database at once break its migration
        with FileLock(f"{file}.lock", timeout=120):
            self._open(uri, experiment, run_name, (file.parent / "mlruns").as_uri())

    def _open(self, uri: str, experiment: str, run_name: str, artifacts: str | None) -> None:
        from mlflow.tracking import MlflowClient

        # they tell at length how the tables of a new database are made
        logging.getLogger("alembic").setLevel(logging.ERROR)
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
        self.client, self.uri = MlflowClient(tracking_uri=uri), uri
        self.id = self._find_or_create(experiment, run_name, artifacts)

    def _find_or_create(self, experiment: str, run_name: str, artifacts: str | None) -> str:
        found = self.client.get_experiment_by_name(experiment)
        experiment_id = found.experiment_id if found else self.client.create_experiment(experiment, artifacts)
        same = f"attributes.run_name = '{run_name}'"
        by_id = f"attributes.run_id = '{run_name}'"
        for condition in (same, by_id):
            runs = self.client.search_runs([experiment_id], condition, max_results=1)
            if runs:
                self.client.update_run(runs[0].info.run_id, status="RUNNING")
                return str(runs[0].info.run_id)
        return str(self.client.create_run(experiment_id, run_name=run_name).info.run_id)

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record parameters; those of a continued run that differ from before become tags, as MLflow forbids change."""
        from mlflow.entities import Param

        before = self.client.get_run(self.id).data.params
        texts = {key: _cut(str(value)) for key, value in params.items()}
        new = [Param(key, text) for key, text in texts.items() if key not in before]
        for at in range(0, len(new), _PARAMS_A_CALL):
            self.client.log_batch(self.id, params=new[at : at + _PARAMS_A_CALL])
        self.log_tags({f"resumed_with.{k}": text for k, text in texts.items() if before.get(k, text) != text})

    def log_tags(self, tags: Mapping[str, str]) -> None:
        """Record tags."""
        from mlflow.entities import RunTag

        if tags:
            self.client.log_batch(self.id, tags=[RunTag(key, text) for key, text in tags.items()])

    def log_metrics(self, metrics: Mapping[str, float], step: int, milliseconds: int) -> None:
        """Record numbers at an iteration."""
        from mlflow.entities import Metric

        self.client.log_batch(self.id, [Metric(k, value, milliseconds, step) for k, value in metrics.items()])

    def log_dataset(self, name: str, fingerprint: str, profile: Mapping[str, Any], context: str) -> None:
        """Record data by a fingerprint, with what may be said of it, as used for ``context``, e.g. ``"training"``."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        # MLflow wants a source; a path would name people or projects
        data = Dataset(name, fingerprint[:_LONGEST_DIGEST], "local", "{}", profile=json.dumps(dict(profile)))
        self.client.log_inputs(self.id, datasets=[DatasetInput(data, [InputTag("mlflow.data.context", context)])])

    def register(self, model: str, folder: str, score: float | None) -> None:
        """Make a folder of artifacts a version of a registered model: ``newest``, and ``best`` by the highest score.

        Args:
            model: its name; made when missing.
            folder: of the artifacts of this run.
            score: higher is better; a version without one is never ``best``.
        """
        from mlflow.exceptions import MlflowException

        try:
            self.client.create_registered_model(model)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        tags = {} if score is None else {_SCORE: repr(score)}
        version = self.client.create_model_version(model, f"runs:/{self.id}/{folder}", self.id, tags=tags).version
        self.client.set_registered_model_alias(model, "newest", version)
        known = self.client.get_registered_model(model).aliases
        best = self.client.get_model_version_by_alias(model, "best").tags[_SCORE] if "best" in known else "-inf"
        if score is not None and score > float(best):
            self.client.set_registered_model_alias(model, "best", version)

    def where_to_look(self) -> str:
        """Say where the curves of all runs of the experiment are shown, and by which command if no server runs."""
        experiment = self.client.get_run(self.id).info.experiment_id
        page = f"#/experiments/{experiment}/{_CURVES}"
        if sqlite_file(self.uri) is None:
            return f"{printable(self.uri)}/{page}"
        return f"http://127.0.0.1:5000/{page} after `mlflow ui --backend-store-uri {self.uri}`"

    def finish(self, status: str) -> None:
        """Set the final status: ``FINISHED``, ``FAILED`` or ``KILLED``."""
        self.client.set_terminated(self.id, status)


def is_hopeless(error: Exception) -> bool:
    """Whether a call that raised ``error`` will never succeed: the request is wrong, not the server."""
    from mlflow.exceptions import MlflowException

    if isinstance(error, MlflowException):
        return error.get_http_status_code() in (400, 404, 409)
    return not isinstance(error, OSError) or isinstance(error, FileNotFoundError)


def prepare_mlflow() -> None:
    """Import MLflow here, not in a thread, and let it notice a dead server in seconds; the user's settings win."""
    # the second for a database that takes over when loader workers may just be forked
    import mlflow.store.tracking.sqlalchemy_store
    import mlflow.tracking  # noqa: F401

    # our own queue repeats
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")


def unique_run_name(name: str, params: Mapping[str, Any]) -> str:
    """Return a name with what a fine-tuning started from, a time and a random part.

    Args:
        name: what is trained, such as the name of the bundle.
        params: of the run; fine-tunings have ``weights``.

    >>> unique_run_name("segmentation", {"weights": ""})[:27]
    'segmentation-from-scratch-2'
    """
    start = f"-from-{_origin(params)}" if "weights" in params else ""
    return f"{name}{start}-{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"


def _origin(params: Mapping[str, Any]) -> str:
    """Return the method that pre-trained the weights, by their card; names of files may be those of people."""
    if not params["weights"] or params.get("part") == "none":
        return "scratch"
    try:
        card = read_card(params["weights"])
    except (ValueError, OSError):
        card = None
    return "weights" if card is None else "".join(c if c.isalnum() else "_" for c in card.method)[:40]


def environment_tags() -> dict[str, str]:
    """Return versions of Python and packages and, when run from a checkout, the git commit of this package.

    With ``MONAI_SSL_PARENT_RUN`` in the environment also the tag by which MLflow nests a run below that one.
    """
    tags = {"python": platform.python_version()}
    if parent := os.environ.get(PARENT_VARIABLE):
        tags["mlflow.parentRunId"] = parent
    for package in _PACKAGES:
        try:
            tags[f"version.{package}"] = version(package)
        except PackageNotFoundError:
            continue
    commit = _git_commit()
    return tags | ({"mlflow.source.git.commit": commit} if commit else {})


def metric_name(name: str) -> str:
    """Return ``name`` with ``_`` for what MLflow does not take in the name of a metric.

    >>> metric_name("test/left kidney (donor)")
    'test/left kidney _donor_'
    """
    return "".join(c if c.isalnum() or c in "_-. /" else "_" for c in name)


def now_milliseconds() -> int:
    """Return the time as MLflow counts it."""
    return int(time.time() * 1000)


def _git_commit() -> str | None:
    folder = Path(__file__).parent
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"


__all__ = [
    "MLflowRun",
    "environment_tags",
    "is_hopeless",
    "metric_name",
    "now_milliseconds",
    "prepare_mlflow",
    "unique_run_name",
]
