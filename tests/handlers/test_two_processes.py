import os

import pytest
import torch
import torch.multiprocessing as mp


def _rank(rank, port, folder):
    import ignite.distributed as idist
    from toy_training import batches, ssl_trainer

    from monai_ssl.handlers import CollapseMonitor, DataWait, HeldOutLoss, Pictures, Probe, Progress, Tracking

    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ["LOCAL_RANK"] = str(rank)
    idist.initialize("gloo")
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
    torch.save(dict(trainer.state.metrics), f"{folder}/metrics_{rank}.pt")
    idist.finalize()


@pytest.mark.slow
def test_ranks_agree_on_scores_and_only_the_first_writes(tmp_path):
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    mp.spawn(_rank, (port, str(tmp_path)), nprocs=2)
    first, second = (torch.load(tmp_path / f"metrics_{rank}.pt", weights_only=True) for rank in range(2))
    for name in ("held_out/loss", "probe/knn", "probe/linear"):
        assert first[name] == second[name]
    assert "collapse/spread" in first and "collapse/spread" not in second
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path / 'mlruns.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("monai_ssl").experiment_id])
    assert run.info.status == "FINISHED" and run.data.metrics["held_out/loss"] == pytest.approx(first["held_out/loss"])
