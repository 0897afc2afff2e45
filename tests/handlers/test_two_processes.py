"""Handlers in two processes: ranks agree on scores, and only the first writes."""

import pytest
from mlflow.tracking import MlflowClient
from toy_training import batches, labeled, ssl_trainer
from two_processes import both

from monai_ssl.handlers import Diagnostics, Pictures, Probe, Progress, Tracking, ValidationLoss

pytestmark = pytest.mark.slow


def train(rank, folder):
    tracking = Tracking(folder)
    handlers = [
        ValidationLoss(batches(2, seed=rank)),
        Probe(labeled()),
        Diagnostics(),
        Pictures(folder, tracking=tracking),
        Progress(),
        tracking,
    ]
    trainer = ssl_trainer(handlers, epochs=2, data=batches(4, seed=10 + rank))
    trainer.run()
    return dict(trainer.state.metrics)


def test_ranks_agree_on_scores_and_only_the_first_writes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, second = both(train, tmp_path, tmp_path)
    for name in ("validation/loss", "probe/knn", "probe/linear"):
        assert first[name] == second[name]
    for name in ("collapse/spread", "time/data_wait_share"):
        assert name in first and name not in second
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlruns.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("monai_ssl").experiment_id])
    assert run.info.status == "FINISHED" and run.data.metrics["validation/loss"] == pytest.approx(
        first["validation/loss"]
    )
