"""MLflow tracking handler: parameters, metrics, pictures and artifacts of a training run."""

from __future__ import annotations

import atexit
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ignite.distributed as idist
from ignite.engine import Events
from torch import Tensor

from monai_ssl.errors import printable
from monai_ssl.handlers.background_writer import BackgroundWriter, logger
from monai_ssl.handlers.failure import at_failure
from monai_ssl.handlers.measurements import Measurements
from monai_ssl.handlers.mlflow_run import (
    MLflowRun,
    environment_tags,
    is_hopeless,
    now_milliseconds,
    prepare_mlflow,
    unique_run_name,
)
from monai_ssl.handlers.running_mean import RunningMeans
from monai_ssl.mlflow_place import checked_uri, local_record, read_note, record_uri, sqlite_file, write_note

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from monai_ssl.engines import SSLTrainer

_PATIENCE = 5.0
"""Seconds that the end of an epoch waits for a local database."""


class Tracking:
    """Record a run in MLflow: parameters, every loss term, learning rates, metrics, artifacts and how it ended.

    All calls to MLflow are made by a thread of their own: a slow or dead server neither stops nor slows training. What
    cannot be written to a server goes to the local ``mlruns.db`` instead, with one warning.
    The run is marked FINISHED, FAILED on an exception, KILLED when training was terminated or interrupted. All metrics
    have the iteration as their axis. Whatever a handler puts into ``engine.state.metrics`` is logged once, when it was
    put there; what stays there is not logged again. Attach it after these handlers, and before the
    checkpoint. Active on rank 0 only.

    Args:
        output_dir: folder of the training run.
        name: what is trained, such as the name of the bundle; see
            :func:`monai_ssl.handlers.mlflow_run.unique_run_name`.
        params: parameters to record; long values are cut.
        experiment: name of the MLflow experiment.
        uri: ``sqlite:///<file>`` or ``http(s)://<server>``; ``MLFLOW_TRACKING_URI`` in the environment wins.
            Without either it is the ``mlruns.db`` of the working directory, which several runs share.
        every: iterations over which loss terms are averaged before they are logged.
        resume: continue the run that ``output_dir`` holds, if any, or the one of a given name or id.

    Raises:
        ValueError: when MLflow cannot keep runs at the address, or ``every`` is below 1.

    >>> tracking = Tracking("out", name="simclr", uri="sqlite:///runs.db")
    >>> tracking.run_name.startswith("simclr-"), tracking.experiment
    (True, 'monai_ssl')
    """

    def __init__(
        self,
        output_dir: str | Path,
        name: str = "pretrain",
        params: Mapping[str, Any] | None = None,
        *,
        experiment: str = "monai_ssl",
        uri: str | None = None,
        every: int = 10,
        resume: bool | str = False,
    ) -> None:
        if every < 1:
            raise ValueError(f"`every` of `Tracking` is a number of iterations of at least 1, got {every}.")
        self.uri = checked_uri(record_uri(Path(output_dir), uri))
        self.output_dir = Path(output_dir)
        self.experiment = experiment
        self.params = dict(params or {})
        self.run_name = self._earlier_run(resume) or unique_run_name(name, self.params)
        self.every = every
        self._means = RunningMeans()
        self._status: str | None = "not begun"
        self._writer: BackgroundWriter | None = None
        if idist.get_rank() == 0:
            prepare_mlflow()
            where = printable(self.uri)
            self._local = f"sqlite:///{local_record(self.output_dir)}"
            instead = None if sqlite_file(self.uri) else (self._connect_locally, f"MLflow at {self._local}")
            self._writer = BackgroundWriter(self._connect, f"MLflow at {where}", is_hopeless, instead=instead)

    def attach(self, engine: SSLTrainer) -> None:
        """Record ``engine``, whose output is a dictionary of 0-d tensors."""
        if self._writer is None:
            return
        engine.add_event_handler(Events.STARTED, self._begin)
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin_epoch)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._step)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._end_epoch)
        engine.add_event_handler(Events.TERMINATE, self._end, "KILLED")
        engine.add_event_handler(Events.COMPLETED, self._end, "FINISHED")
        at_failure(engine, self._fail)

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Record numbers by name at an iteration; under overload the oldest numbers are dropped."""
        if metrics:
            fixed, at = dict(metrics), now_milliseconds()
            self._put(lambda run: run.log_metrics(fixed, step, at), expendable=True)

    def log_artifact(self, file: str | Path, folder: str | None = None) -> None:
        """Record a file, in a folder of the run's artifacts."""
        path = str(Path(file).resolve())
        self._put(lambda run: run.client.log_artifact(run.id, path, folder))

    def log_dict(self, content: Mapping[str, Any], name: str) -> None:
        """Record a dictionary as the artifact ``name``, a ``.json`` or ``.yaml`` file."""
        fixed = dict(content)
        self._put(lambda run: run.client.log_dict(run.id, fixed, name))

    def log_dataset(self, name: str, fingerprint: str, profile: Mapping[str, Any], context: str) -> None:
        """Record data by its fingerprint, with what may be said of it, as used for ``context``."""
        fixed = dict(profile)
        self._put(lambda run: run.log_dataset(name, fingerprint, fixed, context))

    def register(self, model: str, folder: str, score: float | None) -> None:
        """Make a folder of the run's artifacts a version of a registered model, see :meth:`MLflowRun.register`."""
        self._put(lambda run: run.register(model, folder, score))

    def log_figure(self, figure: Figure, name: str) -> None:
        """Record a matplotlib figure as the artifact ``name``, a ``.png`` file without metadata."""
        if self._writer is None:
            return
        folder = tempfile.TemporaryDirectory()
        path = Path(folder.name) / Path(name).name
        figure.savefig(path, metadata={"Software": None})
        self._put(partial(_log_and_remove, path=path, folder=folder, under=str(Path(name).parent)))

    def flush(self, timeout: float = 60.0) -> bool:
        """Wait until everything is written, ``timeout`` seconds at most and hardly at all when the server is dead."""
        return self._writer is None or self._writer.flush(timeout)

    def _earlier_run(self, resume: bool | str) -> str | None:
        if isinstance(resume, str):
            return resume
        return read_note(self.output_dir)[0] if resume else None

    def _connect(self) -> MLflowRun:
        return MLflowRun(self.uri, self.experiment, self.run_name)

    def _connect_locally(self) -> MLflowRun:
        """Go on in the local database; what the server has already stays there."""
        run = MLflowRun(self._local, self.experiment, self.run_name)
        run.log_params(self.params)
        run.log_tags({**environment_tags(), "instead_of": printable(self.uri)})
        self.uri = self._local
        write_note(self.output_dir, self.run_name, self.uri)
        return run

    def _put(self, call: Callable[[MLflowRun], None], *, expendable: bool = False) -> None:
        if self._writer is not None:
            self._writer.put(call, expendable=expendable)

    def _begin(self, engine: SSLTrainer) -> None:
        self._status = None
        atexit.register(self._abandon)
        write_note(self.output_dir, self.run_name, self.uri)
        params = self.params
        self._put(lambda run: run.client.update_run(run.id, status="RUNNING"))
        self._put(lambda run: run.log_params(params))
        self._put(lambda run: run.log_tags(environment_tags()))
        if sqlite_file(self.uri):
            # a local file: wait for it here, so that data workers are not forked while this thread imports
            self.flush()

    def _begin_epoch(self, engine: SSLTrainer) -> None:
        self.log_metrics(_measured(engine), engine.state.iteration)

    def _step(self, engine: SSLTrainer) -> None:
        state: Any = engine.state
        self._means.add(state.output)
        means = self._means.read() | _learning_rates(engine) if state.iteration % self.every == 0 else {}
        self.log_metrics(means | _measured(engine), state.iteration)

    def _end_epoch(self, engine: SSLTrainer) -> None:
        found = self._means.read() | _measured(engine) | {"epoch": float(engine.state.epoch)}
        self.log_metrics(found, engine.state.iteration)
        if sqlite_file(self.uri):
            # the checkpoint that follows makes the epoch a past one, whose record nobody would write again
            self.flush(_PATIENCE)

    def _fail(self, error: BaseException) -> None:
        self._end("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")

    def _abandon(self) -> None:
        # another handler may have raised before ours was called
        self._end("FAILED")

    def _end(self, status: str) -> None:
        if self._status is not None or self._writer is None:
            return
        self._status = status
        atexit.unregister(self._abandon)
        self._put(lambda run: run.finish(status))
        self._put(lambda run: logger.info("MLflow shows %s at %s.", self.run_name, run.where_to_look()))
        written = self.flush()
        if not written or self._writer.dropped:
            logger.warning(
                "%d records did not reach MLflow at %s (run %s)%s. Start the server again, or leave `uri` out to keep "
                "runs in a local file.",
                self._writer.dropped + (0 if written else self._writer.waiting),
                printable(self.uri),
                self.run_name,
                "" if written else ", and the run is not closed there",
            )


def _learning_rates(engine: SSLTrainer) -> dict[str, float]:
    return {f"lr/{step}": float(o.param_groups[0]["lr"]) for step, o in engine.optimizers.items()}


def _measured(engine: SSLTrainer) -> dict[str, float]:
    """Return the metrics that are numbers and were set since the last call."""
    state: Any = engine.state
    if not isinstance(state.metrics, Measurements):
        # at first, and when somebody put another dictionary there
        state.metrics = Measurements(state.metrics)
    return {name: number for name, value in state.metrics.new().items() if (number := _number(value)) is not None}


def _number(value: Any) -> float | None:
    if isinstance(value, Tensor):
        return float(value) if value.numel() == 1 else None
    return float(value) if isinstance(value, Real) else None


def _log_and_remove(run: MLflowRun, *, path: Path, folder: tempfile.TemporaryDirectory, under: str) -> None:
    run.client.log_artifact(run.id, str(path), None if under == "." else under)
    folder.cleanup()


__all__ = ["Tracking"]
