"""The record on a real MLflow server, started on loopback for this test."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from ignite.engine import Events
from mlflow.tracking import MlflowClient
from toy_training import batches, trainer
from two_processes import free_port

from monai_ssl.handlers import Tracking

pytestmark = pytest.mark.slow
PATIENCE = 120
"""Seconds that the server may take to start on a busy machine."""


@pytest.fixture
def server(tmp_path):
    folder, port = tmp_path / "server", free_port()
    folder.mkdir()
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


def test_a_training_is_recorded(server, tmp_path):
    losses, engine = [], trainer(lr=0.25)
    Tracking(tmp_path / "out", "served", {"lr": 0.25}, uri=server, every=1).attach(engine)
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda e: losses.append(float(e.state.output["loss"])))
    engine.run(batches(4), max_epochs=2)
    client = MlflowClient(server)
    (run,) = client.search_runs([client.get_experiment_by_name("monai_ssl").experiment_id])
    assert run.info.run_name.startswith("served") and run.info.status == "FINISHED" and run.data.params["lr"] == "0.25"
    assert [m.value for m in client.get_metric_history(run.info.run_id, "loss")] == pytest.approx(losses)
    assert not (tmp_path / "out" / "mlruns.db").exists(), "a server was named, and a file written as well"
