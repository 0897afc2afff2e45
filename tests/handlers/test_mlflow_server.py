"""The record on a real MLflow server, started on loopback for this test."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
import torch
from ignite.engine import Events
from mlflow.tracking import MlflowClient
from toy_training import batches, trainer

from monai_ssl.handlers import Tracking

pytestmark = pytest.mark.slow
PATIENCE = 120
"""Seconds that the server may take to start on a busy machine."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    stores = [
        "--backend-store-uri",
        f"sqlite:///{folder / 'server.db'}",
        "--artifacts-destination",
        str(folder / "files"),
    ]
    with (folder / "log").open("w") as log:
        # a session of its own, so that the server's workers end with it
        process = subprocess.Popen([*command, *stores], stdout=log, stderr=log, cwd=folder, start_new_session=True)
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process, folder / "log")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def wait_for(url, process, log):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise AssertionError(f"no MLflow server at {url}: {log.read_text()[-2000:]}")


def train(server, folder, name, fail_at=None):
    engine = trainer(lr=0.25)
    Tracking(folder, name, {"lr": 0.25}, uri=server, every=1).attach(engine)

    def fail(e):
        if e.state.iteration == fail_at:
            raise RuntimeError("boom")

    engine.add_event_handler(Events.ITERATION_STARTED, fail)
    losses = []
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda e: losses.append(float(e.state.output["loss"])))
    (folder / "pictures").mkdir(parents=True)
    engine.run(batches(4), max_epochs=2)
    return losses


def run_named(server, name):
    client = MlflowClient(server)
    experiment = client.get_experiment_by_name("monai_ssl")
    (found,) = [r for r in client.search_runs([experiment.experiment_id]) if r.info.run_name.startswith(name)]
    return client, found


def test_a_training_is_recorded(server, tmp_path):
    losses = train(server, tmp_path / "out", "served")
    client, run = run_named(server, "served")
    assert run.info.status == "FINISHED" and run.data.params["lr"] == "0.25"
    history = [m.value for m in client.get_metric_history(run.info.run_id, "loss")]
    torch.testing.assert_close(history, losses)
    assert not (tmp_path / "out" / "mlruns.db").exists(), "a server was named, and a file written as well"


def test_a_failed_training_is_marked(server, tmp_path):
    with pytest.raises(RuntimeError, match="boom"):
        train(server, tmp_path / "out", "broken", fail_at=3)
    _, run = run_named(server, "broken")
    assert run.info.status == "FAILED"
