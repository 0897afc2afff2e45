import json
import logging
import multiprocessing
import re
import shutil
import socket
import threading
import time
from pathlib import Path

import pytest
import torch
from ignite.engine import Events
from mlflow.tracking import MlflowClient
from torch import nn
from toy_training import Toy, batches, labeled, said, ssl_trainer, trainer
from two_processes import free_port

from monai_ssl.evaluation.spread import spread
from monai_ssl.handlers import CollapseMonitor, DataWait, Probe, Publication, Tracking, ValidationLoss
from monai_ssl.handlers.mlflow_run import unique_run_name
from monai_ssl.transfer import ModelCard, export_weights


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory):
    file = tmp_path_factory.mktemp("db") / "mlruns.db"
    MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def folder(tmp_path, empty_database):
    """An output folder whose database is there already, since making one takes seconds."""
    shutil.copy(empty_database, tmp_path / "mlruns.db")
    return tmp_path


def record(folder, *, fail_at=None, epochs=2, **kwargs):
    engine = trainer()
    tracking = Tracking(folder, **kwargs)
    tracking.attach(engine)

    def fail(e):
        if e.state.iteration == fail_at:
            raise RuntimeError("boom")

    engine.add_event_handler(Events.ITERATION_STARTED, fail)
    engine.run(batches(4), max_epochs=epochs)
    return tracking


def runs(folder, file="mlruns.db"):
    client = MlflowClient(f"sqlite:///{folder / file}")
    experiment = client.get_experiment_by_name("monai_ssl")
    return client, client.search_runs([experiment.experiment_id])


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, empty_database):
    """One finished run with every kind of record."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    folder = tmp_path_factory.mktemp("out")
    shutil.copy(empty_database, folder / "mlruns.db")
    engine = trainer(lr=0.25)
    tracking = Tracking(folder, "toy", {"lr": 0.25, "long": "x" * 9000} | {f"p{i}": i for i in range(150)}, every=4)
    tracking.attach(engine)
    losses = []

    def note(e):
        losses.append(float(e.state.output["loss"]))

    def score(e):
        e.state.metrics = {"validation/loss": 1.5, "tensor": torch.tensor(2.0), "picture": torch.zeros(3), "text": "no"}

    engine.add_event_handler(Events.ITERATION_COMPLETED, note)
    engine.add_event_handler(Events.EPOCH_COMPLETED, score)
    engine.run(batches(6), max_epochs=2)
    (folder / "card.md").write_text("# card")
    tracking.log_artifact(folder / "card.md", "model")
    tracking.log_dict({"a": 1}, "config.json")
    tracking.log_figure(Figure(), "pictures/one.png")
    assert tracking.flush()
    return folder, losses, tracking


def test_terms_are_means_over_a_few_iterations(recorded):
    folder, losses, _ = recorded
    client, (run,) = runs(folder)
    history = {m.step: m.value for m in client.get_metric_history(run.info.run_id, "loss")}
    expected = {4: sum(losses[:4]) / 4, 6: sum(losses[4:6]) / 2, 8: sum(losses[6:8]) / 2, 12: sum(losses[8:]) / 4}
    assert history == pytest.approx(expected)
    assert {"restoration", "drawn", "lr/losses"} <= set(run.data.metrics)
    assert run.data.metrics["lr/losses"] == 0.25


def test_epoch_metrics_params_and_tags(recorded):
    _, (run,) = runs(recorded[0])
    assert run.data.metrics["validation/loss"] == 1.5 and run.data.metrics["tensor"] == 2.0
    assert run.data.metrics["epoch"] == 2
    assert not {"picture", "text"} & set(run.data.metrics)
    assert run.data.params["p149"] == "149" and run.data.params["lr"] == "0.25"
    assert len(run.data.params["long"]) == 500
    assert "version.torch" in run.data.tags
    values = [*run.data.params.values(), *run.data.tags.values()]
    assert not any(socket.gethostname() in v for v in values)


def test_artifacts_lie_beside_the_database(recorded):
    folder, _, _ = recorded
    client, (run,) = runs(folder)
    found = {f.path for d in ("", "model", "pictures") for f in client.list_artifacts(run.info.run_id, d)}
    assert {"config.json", "model/card.md", "pictures/one.png"} <= found
    png = next(folder.glob("mlruns/**/one.png")).read_bytes()
    assert png.startswith(b"\x89PNG") and b"tEXt" not in png and b"matplotlib" not in png


def test_a_run_that_completed_is_finished_and_uniquely_named(recorded):
    folder, _, tracking = recorded
    _, (run,) = runs(folder)
    assert run.info.status == "FINISHED"
    assert re.fullmatch(r"toy-\d{8}-\d{6}-[0-9a-f]{6}", run.info.run_name) and run.info.run_name == tracking.run_name


def test_the_end_of_a_run_says_on_which_page_its_curves_are(folder, caplog):
    with caplog.at_level(logging.INFO, "monai_ssl"):
        record(folder, epochs=1)
    _, (run,) = runs(folder)
    page = f"#/experiments/{run.info.experiment_id}/runs?compareRunsMode=CHART&workflowType=machine_learning"
    (said,) = [record.getMessage() for record in caplog.records if run.info.run_name in record.getMessage()]
    assert page in said and f"mlflow ui --backend-store-uri sqlite:///{folder}/mlruns.db" in said


@pytest.mark.parametrize(
    ("params", "start"),
    [
        ({}, "toy-2"),
        ({"weights": ""}, "toy-from-scratch-2"),
        ({"weights": "w.safetensors", "part": "none"}, "toy-from-scratch-2"),
        ({"weights": "w.safetensors"}, "toy-from-sim_clr-2"),
        ({"weights": "of_a_patient.pt"}, "toy-from-weights-2"),
    ],
)
def test_the_name_of_a_run_says_what_it_started_from(tmp_path, monkeypatch, params, start):
    monkeypatch.chdir(tmp_path)
    encoder = nn.Module()
    encoder.encoder = nn.Linear(1, 1)
    export_weights(encoder, Path("w.safetensors"), ModelCard("sim clr", "paper", {}, "ct"))
    Path("of_a_patient.pt").write_bytes(b"no card")
    assert unique_run_name("toy", params).startswith(start)


class Noted(Toy):
    """Notes at which iteration its representations were looked at, and what came of it."""

    def __init__(self):
        super().__init__()
        self.looks = []

    def representation(self, x):
        vectors = super().representation(x)
        if len(x) == 3:
            self.looks.append((self.iteration, spread(vectors)))
        return vectors


def test_a_metric_is_recorded_where_it_was_measured_and_not_again(folder):
    method = Noted()
    handlers = [
        CollapseMonitor(every=3),
        DataWait(),
        ValidationLoss(batches(1), every=2),
        Probe(labeled(), every=2),
        Tracking(folder, every=2),
    ]
    trainer = ssl_trainer(handlers, epochs=3, data=batches(4, size=3), method=method)
    trainer.add_event_handler(Events.ITERATION_STARTED, lambda e: setattr(method, "iteration", e.state.iteration))

    @trainer.on(Events.EPOCH_COMPLETED(once=2))
    def late(e):
        e.state.metrics["late"] = 1

    said(trainer.run)
    client, (run,) = runs(folder)
    points = {name: client.get_metric_history(run.info.run_id, name) for name in run.data.metrics}
    steps = {name: [point.step for point in found] for name, found in points.items()}
    assert [(point.step, point.value) for point in points["collapse/spread"]] == method.looks
    assert steps["collapse/effective_rank"] == [1, 3, 4, 6, 8, 9, 12]
    assert steps["time/data_wait_share"] == steps["epoch"] == [4, 8, 12]
    assert (
        steps["validation/loss"] == steps["validation/best"] == steps["probe/knn"] == steps["probe/linear"] == [8, 12]
    )
    assert steps["probe/knn_at_start"] == steps["probe/linear_at_start"] == [0]
    assert steps["late"] == [8], "of a handler that was attached after the record"


def test_ways_to_end_and_runs_do_not_join(folder):
    with pytest.raises(RuntimeError, match="boom"):
        record(folder, fail_at=3)
    engine = trainer()
    Tracking(folder).attach(engine)
    engine.add_event_handler(Events.ITERATION_COMPLETED(once=2), lambda e: e.terminate())
    engine.run(batches(4), max_epochs=2)
    _, found = runs(folder)
    assert sorted(run.info.status for run in found) == ["FAILED", "KILLED"]


def test_another_handler_raising_first_still_marks_the_run_failed(folder):
    engine = trainer()
    tracking = Tracking(folder)

    @engine.on(Events.EXCEPTION_RAISED)
    def first(e, error):
        raise error

    tracking.attach(engine)
    engine.add_event_handler(Events.ITERATION_STARTED, lambda e: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        engine.run(batches(2), max_epochs=1)
    tracking._abandon()  # what the interpreter does at its end
    assert [run.info.status for run in runs(folder)[1]] == ["FAILED"]


def test_a_resumed_training_continues_its_run(folder):
    record(folder, params={"lr": 1, "epochs": 2})
    engine = trainer()
    Tracking(folder, params={"lr": 1, "epochs": 4, "new": 5}, resume=True).attach(engine)
    engine.run(batches(4), max_epochs=4)
    _, (run,) = runs(folder)
    assert run.data.params == {"lr": "1", "epochs": "2", "new": "5"}
    assert run.data.tags["resumed_with.epochs"] == "4"
    assert run.info.status == "FINISHED" and run.data.metrics["epoch"] == 4
    record(folder, resume=run.info.run_id)
    assert len(runs(folder)[1]) == 1


def test_resume_begins_a_run_where_there_is_none(folder):
    record(folder, epochs=1, resume=True)
    record(folder, epochs=1, resume=False)
    assert len(runs(folder)[1]) == 2


@pytest.mark.parametrize("dies", [False, True])
def test_a_dead_server_costs_nothing(folder, caplog, dies):
    """Dead at the start or from the middle on: everything since is in the local database, with one warning."""
    engine = trainer()
    engine._process_function = lambda e, batch: {"loss": torch.tensor(float(e.state.iteration))}
    tracking = Tracking(folder, params={"lr": 1}, uri=f"http://127.0.0.1:{free_port()}", every=1)
    tries, connect, sent = [], tracking._writer._connect, []

    class Server:
        """Takes the first ten records."""

        def __getattr__(self, name):
            if len(sent) == 10:
                raise ConnectionError("refused")
            sent.append(name)
            return Server() if name == "client" else lambda *args, **kwargs: None

        id = "7"

    tracking._writer._connect = lambda: tries.append(threading.current_thread()) or (Server() if dies else connect())
    tracking.attach(engine)
    with caplog.at_level(logging.WARNING):
        engine.run([0] * 30, max_epochs=2)
    assert threading.main_thread() not in tries and 0 < len(tries) < 4, "far fewer tries than the records"
    (text,) = [r.getMessage() for r in caplog.records if r.name.startswith("monai_ssl")]
    assert "cannot be written" in text and f"from here on records go to MLflow at sqlite:///{folder}" in text
    client, (run,) = runs(folder)
    assert (run.info.run_name, run.info.status, run.data.params["lr"]) == (tracking.run_name, "FINISHED", "1")
    losses = [m.value for m in client.get_metric_history(run.info.run_id, "loss")]
    assert losses[-1] == 60 and set(range(20, 61)) <= set(losses)
    assert run.data.tags["instead_of"].startswith("http://127.0.0.1")


def test_a_silent_server_does_not_slow_training(tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        engine = trainer()
        engine._process_function = lambda e, batch: {"loss": torch.tensor(1.0)}
        tracking = Tracking(tmp_path, uri=f"http://127.0.0.1:{server.getsockname()[1]}", every=1)
        monkeypatch.setattr(tracking, "flush", lambda: False)
        tracking.attach(engine)
        engine.run([0] * 200, max_epochs=1)
        assert tracking._writer.waiting > 200, "the server still has not answered the first call"


def test_the_environment_names_the_server(tmp_path, empty_database, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'other.db'}")
    shutil.copy(empty_database, tmp_path / "other.db")
    record(tmp_path / "out", epochs=1)
    assert runs(tmp_path, "other.db")[1] and not (tmp_path / "out" / "mlruns.db").exists()


def test_runs_that_are_started_in_one_place_lie_on_one_page(tmp_path, empty_database, monkeypatch):
    here, there = tmp_path / "here", tmp_path / "there"
    for place in (here, there):
        place.mkdir()
        shutil.copy(empty_database, place / "mlruns.db")
    monkeypatch.chdir(here)
    for name in ("a", "b"):
        record(Path("runs", name), name=name, epochs=1)
    found = {run.info.run_name for run in runs(here)[1]}
    assert len(found) == 2 and {path.read_text().splitlines()[0] for path in Path("runs").rglob("*.txt")} == found
    # a run goes on where it was recorded, wherever that is done
    monkeypatch.chdir(there)
    record(here / "runs" / "a", resume=True, epochs=1)
    assert {run.info.run_name for run in runs(here)[1]} == found
    assert MlflowClient(f"sqlite:///{there / 'mlruns.db'}").get_experiment_by_name("monai_ssl") is None


def test_the_encoder_is_registered_and_the_best_one_has_its_alias(tmp_path, empty_database, monkeypatch):
    shutil.copy(empty_database, tmp_path / "mlruns.db")
    monkeypatch.chdir(tmp_path)
    for score in (0.5, 0.75, 0.625, None):
        out, engine = tmp_path / f"run {score}", trainer()
        out.mkdir()
        for name in ("encoder.safetensors", "encoder.safetensors.card.json", "MODEL_CARD.md"):
            (out / name).write_text(f"{name} {score}")
        tracking = Tracking(out)
        facts = {"data_fingerprint": "f" * 64, "scans": 3, "patients": 2, "modality": "ct", "spacing": None}
        Publication(out, tracking, "simclr", facts).attach(engine)
        tracking.attach(engine)
        if score is not None:
            engine.add_event_handler(
                Events.EPOCH_COMPLETED, lambda e, s=score: e.state.metrics.update({"probe/linear": s})
            )
        engine.run(batches(4), max_epochs=1)
    client = runs(tmp_path)[0]
    best, newest = (client.get_model_version_by_alias("simclr-encoder", alias) for alias in ("best", "newest"))
    assert (best.version, newest.version) == (2, 4)
    path = client.download_artifacts(best.run_id, "encoder/encoder.safetensors", str(tmp_path))
    assert Path(path).read_text() == "encoder.safetensors 0.75"
    (used,) = client.get_run(best.run_id).inputs.dataset_inputs
    assert set(used.dataset.digest) == {"f"} and json.loads(used.dataset.profile)["patients"] == 2


@pytest.mark.parametrize("uri", ["file:///tmp/mlruns", "/tmp/mlruns", "mlruns", "postgresql://h/db"])
def test_folders_are_turned_away(tmp_path, uri):
    with pytest.raises(ValueError, match=r"cannot keep runs in .*sqlite:////data/mlruns.db"):
        Tracking(tmp_path, uri=uri)


def test_every_must_be_positive(tmp_path):
    with pytest.raises(ValueError, match="at least 1, got 0"):
        Tracking(tmp_path, every=0)


def _job(folder):
    record(folder, epochs=1)


@pytest.mark.slow
def test_two_jobs_may_create_the_same_database_at_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    context = multiprocessing.get_context("spawn")
    jobs = [context.Process(target=_job, args=(tmp_path,)) for _ in range(2)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert [job.exitcode for job in jobs] == [0, 0]
    assert [run.info.status for run in runs(tmp_path)[1]] == ["FINISHED", "FINISHED"]


def test_ranks_other_than_the_first_record_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("ignite.distributed.get_rank", lambda: 1)
    tracking = record(tmp_path)
    tracking.log_dict({}, "a.json")
    assert tracking.flush() and not list(tmp_path.iterdir())


def test_the_record_of_an_epoch_is_there_before_the_checkpoint_is_written(folder, monkeypatch):
    """A run that is killed after its checkpoint does not train this epoch again."""
    log_batch, seen = MlflowClient.log_batch, []

    def late(*args, **kwargs):
        time.sleep(0.3)
        log_batch(*args, **kwargs)

    monkeypatch.setattr(MlflowClient, "log_batch", late)
    engine = trainer()
    tracking = Tracking(folder)
    tracking.attach(engine)

    def save(e):
        (run,) = runs(folder)[1]
        seen.append(run.data.metrics.get("epoch"))

    engine.add_event_handler(Events.EPOCH_COMPLETED, save)
    engine.run(batches(4), max_epochs=2)
    assert seen == [1.0, 2.0]
