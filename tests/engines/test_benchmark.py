"""``python -m monai_ssl benchmark``: what it measures and what it says of it."""

import json
from dataclasses import replace

import pytest
import torch
from mlflow.tracking import MlflowClient
from torch import nn

from monai_ssl.cli import main
from monai_ssl.engines import SSLTrainer
from monai_ssl.engines.benchmark import Timing, measure
from monai_ssl.engines.benchmark_verdict import verdict
from monai_ssl.methods import Method
from monai_ssl.transforms import BatchViews, RandGaussianNoiseBatchd, Separatelyd, Snapshotd


class Clock:
    """Time that passes in steps and loaders only, however busy the machine is."""

    def __init__(self):
        self.now = 0.0

    def sleep(self, seconds):
        self.now += seconds

    def perf_counter(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("monai_ssl.engines.benchmark.time", clock)
    return clock


class Slow(Method):
    """A method whose step takes a known time."""

    def __init__(self, seconds=0.0, clock=None):
        super().__init__()
        self.net, self.seconds, self.clock = nn.Conv2d(1, 1, 3), seconds, clock or Clock()

    @property
    def encoder(self):
        return self.net

    def losses(self, batch):
        self.clock.sleep(self.seconds)
        return {"size": self.net(batch["view"]).abs().mean()}


class Loader:
    """Batches that take a known time."""

    num_workers = 0

    def __init__(self, seconds, count=3, clock=None):
        self.seconds, self.count, self.clock = seconds, count, clock or Clock()

    def __len__(self):
        return self.count

    def __iter__(self):
        for _ in range(self.count):
            self.clock.sleep(self.seconds)
            yield {"view": torch.rand(2, 1, 8, 8), "locals": torch.rand(6, 1, 4, 4), "scan": ["a", "b"]}


def trainer(loading, training, views=None, loader=Loader, clock=None):
    method = Slow(training, clock)
    return SSLTrainer(
        "cpu", 1, loader(loading, clock=clock), method, torch.optim.SGD(method.parameters(), 0.1), views=views
    )


def test_measures_what_waits(clock):
    views = BatchViews([Snapshotd("view", "target"), Separatelyd("view", [RandGaussianNoiseBatchd("image")])])
    timing = measure(trainer(0.06, 0.03, views, clock=clock), steps=6, warmup=1)
    assert timing.samples == 2
    assert [timing.loader_ms, timing.wait_ms_median, timing.wait_ms_p95] == pytest.approx([60, 60, 60])
    assert [timing.resident_ms, timing.real_ms] == pytest.approx([30, 90])
    assert [timing.speed, timing.wait_share] == pytest.approx([30 / 90, 60 / 90])
    assert list(timing.view_ms) == ["0 Snapshotd", "1 Separatelyd(RandGaussianNoiseBatchd)"]
    assert timing.peak_memory_mb > 50 and timing.gpu_utilization is None


def test_the_time_of_each_view_is_told_apart(clock):
    slow = [RandGaussianNoiseBatchd("view"), RandGaussianNoiseBatchd("view")]
    for seconds, view in zip((0.01, 0.02), slow, strict=True):
        draw = view.batch
        view.batch = lambda data, draw=draw, seconds=seconds: (clock.sleep(seconds), draw(data))[1]
    timing = measure(trainer(0.0, 0.05, BatchViews(slow), clock=clock), steps=4, warmup=1)
    assert list(timing.view_ms.values()) == pytest.approx([10, 20]) and timing.views_ms == pytest.approx(30)
    assert timing.resident_ms == pytest.approx(80)


def test_a_fast_loader_is_not_waited_for(clock):
    timing = measure(trainer(0.0, 0.05, clock=clock), steps=4, warmup=1)
    assert timing.wait_share == 0 and timing.speed == pytest.approx(1) and timing.view_ms == {}


def test_the_trainer_is_left_without_our_handlers():
    run = trainer(0.0, 0.0)
    loader, count = run.data_loader, sum(map(len, run._event_handlers.values()))
    measure(run, steps=2, warmup=0)
    assert run.data_loader is loader and sum(map(len, run._event_handlers.values())) == count


@pytest.mark.parametrize("steps, warmup", [(1, 0), (5, -1)])
def test_impossible_counts(steps, warmup):
    with pytest.raises(ValueError, match="must be at least"):
        measure(trainer(0, 0), steps, warmup)


GOOD = Timing(4, 100.0, 99.0, 40.0, 10.0, {"0 A": 10.0}, 1.0, 2.0, 0.01, 500.0, None)


@pytest.mark.parametrize(
    ("change", "workers", "device", "expected"),
    [
        ({}, 4, "cpu", ["99% of the speed that a batch in memory allows: nothing to gain"]),
        ({"real_ms": 200.0, "loader_ms": 190.0}, 2, "cuda", ["at 50%", "set `--num_workers 5`"]),
        ({"real_ms": 200.0, "loader_ms": 190.0}, 0, "cpu", ["at 50%", "set `--num_workers 3`"]),
        ({"real_ms": 200.0, "loader_ms": 1900.0}, 4, "cuda", ["at 50%", "set `--num_workers 8`"]),
        ({"real_ms": 200.0, "loader_ms": 190.0}, 8, "cuda", ["at 50%", "more workers hardly help. Prepare the store"]),
        ({"real_ms": 200.0}, 3, "cpu", ["at 50%", "lower `num_workers`"]),
        ({"real_ms": 200.0}, 1, "cpu", ["at 50%", "more cores"]),
        (
            {"views_ms": 60.0, "view_ms": {"0 A": 10.0, "1 Slowd": 50.0}},
            4,
            "cpu",
            ["nothing to gain", "views take 61% of a step, 1 Slowd alone 50 ms"],
        ),
        ({"gpu_utilization": 0.5}, 4, "cuda", ["nothing to gain", "computes 50% of the time: a larger `batch_size`"]),
        ({"gpu_utilization": 0.95}, 4, "cuda", ["nothing to gain"]),
    ],
)
def test_verdicts(change, workers, device, expected):
    said = verdict(replace(GOOD, **change), workers, 8, device)
    assert len(said) == len(expected)
    assert all(part in sentence for part, sentence in zip(expected, said, strict=True)), said


@pytest.fixture
def bundle(tmp_path):
    noise = {"_target_": "monai_ssl.transforms.RandGaussianNoiseBatchd", "keys": "view"}
    config = {
        "imports": ["$import torch", "$import monai_ssl", "$import monai_ssl.bundle"],
        "bundle_root": ".",
        "output_dir": str(tmp_path / "out"),
        "lr": 0.1,
        "views": {"_target_": "monai_ssl.transforms.BatchViews", "transforms": [noise]},
        "encoder": {"_target_": "monai_ssl.networks.ConvEncoder", "spatial_dims": 2, "widths": [2, 4]},
        "network_def": {
            "_target_": "monai_ssl.methods.ModelsGenesis",
            "network": {"_target_": "monai_ssl.networks.RestorationUNet", "encoder": "@encoder"},
        },
        "train": {
            "dataloader": "$[{'view': torch.rand(2, 1, 16, 16), 'target': torch.rand(2, 1, 16, 16)} for _ in range(3)]",
            "handlers": ["$1 / 0 if @output_dir else None"],
            "trainer": {
                "_target_": "monai_ssl.engines.SSLTrainer",
                "device": "cpu",
                "max_epochs": 1,
                "train_data_loader": "@train#dataloader",
                "method": "@network_def",
                "optimizer": "$torch.optim.SGD(@network_def.parameters(), @lr)",
                "views": "@views",
                "train_handlers": "@train#handlers",
            },
        },
        "initialize": ["$monai_ssl.bundle.setup(0)"],
    }
    folder = tmp_path / "genesis"
    (folder / "configs").mkdir(parents=True)
    (folder / "configs" / "pretrain.json").write_text(json.dumps(config))
    return folder


def test_the_command_prints_writes_and_records(bundle, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    words = ["benchmark", "--bundle", str(bundle), "--steps", "3", "--warmup", "1", "--json"]
    assert main([*words, "--lr", "0.01"]) == 0, capsys.readouterr().err
    printed, said = capsys.readouterr()
    for row in (
        "step, real loader",
        "step, batch in memory",
        "loader alone",
        "views alone",
        "waiting for data: median",
    ):
        assert row in said
    figures = json.loads(printed)
    assert figures["method"] == "ModelsGenesis" and figures["samples"] == 2 and figures["verdict"]
    assert figures["speed"] == pytest.approx(figures["resident_ms"] / figures["real_ms"])
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlruns.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("monai_ssl").experiment_id])
    assert run.info.run_name.startswith("benchmark-genesis-") and run.info.status == "FINISHED"
    assert run.data.metrics["benchmark/real_ms"] == pytest.approx(figures["real_ms"])


def test_a_server_that_is_away_costs_the_record_only(bundle, capsys, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert main(["benchmark", "--bundle", str(bundle), "--steps", "2", "--warmup", "0"]) == 0
    assert "Not recorded in MLflow at http://127.0.0.1:9" in capsys.readouterr().out


def test_what_is_no_pretraining_bundle(bundle, capsys):
    path = bundle / "configs" / "pretrain.json"
    path.write_text(json.dumps({"bundle_root": ".", "train": {}}))
    assert main(["benchmark", "--bundle", str(bundle)]) == 2
    assert "has no `train#trainer` in pretrain.json: is it a bundle for pre-training?" in capsys.readouterr().err
    assert main(["benchmark", "--bundle", str(bundle), "--config", "pretrain_2d"]) == 2
    assert "has no configuration `pretrain_2d`, but: pretrain" in capsys.readouterr().err
