"""Handlers in two processes: ranks agree on scores, and only the first writes."""

import pytest
import torch
from mlflow.tracking import MlflowClient
from toy_training import batches, ssl_trainer
from two_processes import both

from monai_ssl.handlers import CollapseMonitor, DataWait, HeldOutLoss, Pictures, Probe, Progress, Tracking


def on_a_rank(rank, folder):
    labelled = [{"image": torch.full((1, 8, 8), float(i % 2)) + 0.01 * i, "label": i % 2} for i in range(12)]
    tracking = Tracking(folder)
    handlers = [
        HeldOutLoss(batches(2, seed=rank)),
        Probe(labelled),
        CollapseMonitor(every=1, patience=100),
        DataWait(),
        Pictures(folder, tracking=tracking),
        Progress(),
        tracking,
    ]
    trainer = ssl_trainer(handlers, epochs=2, data=batches(4, seed=10 + rank))
    trainer.run()
    return dict(trainer.state.metrics)


@pytest.mark.slow
def test_ranks_agree_on_scores_and_only_the_first_writes(tmp_path):
    first, second = both(on_a_rank, tmp_path, tmp_path)
    for name in ("held_out/loss", "probe/knn", "probe/linear"):
        assert first[name] == second[name]
    assert "collapse/spread" in first and "collapse/spread" not in second
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlruns.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("monai_ssl").experiment_id])
    assert run.info.status == "FINISHED" and run.data.metrics["held_out/loss"] == pytest.approx(first["held_out/loss"])
