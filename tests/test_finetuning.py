"""A fine-tuning keeps what it made, and continues as if nothing had happened."""

import json
import math
import shutil

import pytest
import torch
from downstream_runs import LABELS, ROOT, weights, workflow, write_disks, write_pictures, write_volumes
from ignite.engine import Engine, Events
from ignite.metrics import EpochMetric
from monai.engines import SupervisedEvaluator
from torch import nn

from monai_ssl.bundle import begin_run
from monai_ssl.tasks import KeepBest
from monai_ssl.tasks.training import StopEarly

pytestmark = pytest.mark.bundle
FLAT = {"image_size": [32, 32], "modality": "xray", "batch_size": 4}
RUNS = {
    # stopped where the optimizer forgets what it knew
    "segmentation": ({"labels": LABELS, "roi_size": [16, 16, 16], "batch_size": 1, "warmup_epochs": 2}, 6),
    # and where the best model lies behind
    "classification": ({**FLAT, "resampling": "mean", "warmup_epochs": 1}, 8),
    "regression": ({**FLAT, "target": "brightness", "batch_size": 16, "warmup_epochs": 9}, 4),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    writers = {"segmentation": write_volumes, "classification": write_pictures, "regression": write_disks}
    return {bundle: write(tmp_path_factory.mktemp(bundle)) for bundle, write in writers.items()}


def run(bundle, out, dataset_dir, stop_after=None, **more):
    """Train for three epochs, or until an iteration."""
    options, _ = RUNS[bundle]
    places = {"bundle_root": str(ROOT / bundle), "output_dir": str(out), "dataset_dir": str(dataset_dir)}
    small = {"width": 2, "device": "cpu", "num_workers": 0, "max_epochs": 3, "scheme": "warmup", "lr": 0.01}
    flow = workflow(bundle, **places, **(small | options | more))
    trainer = flow.parser.get_parsed_content("train#trainer")
    if stop_after is not None:
        trainer.add_event_handler(Events.ITERATION_COMPLETED, stop, stop_after)
    trainer.run()
    return trainer


class Killed(Exception):
    """As if the process had been killed."""


def stop(engine, iteration):
    if engine.state.iteration > iteration:
        raise Killed


def plain(x):
    """Tensors as bytes, for comparisons bit for bit."""
    if isinstance(x, torch.Tensor):
        return tuple(x.shape), x.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
    if isinstance(x, dict):
        return {key: plain(value) for key, value in x.items()}
    return [plain(value) for value in x] if isinstance(x, (list, tuple)) else x


def left(out):
    """All that a run leaves of itself; where its output lies is not part of it."""
    return {name: plain(torch.load(out / name, weights_only=True)) for name in ("checkpoint.pt", "model.pt")} | {
        "model.json": json.loads((out / "model.json").read_text())
    }


@pytest.mark.parametrize("bundle", RUNS)
def test_a_run_that_broke_off_continues_bit_for_bit(tmp_path, data, bundle):
    """In the middle of an epoch, with another number of workers; down to the optimizer and the choice of the best."""
    run(bundle, tmp_path / "alone", data[bundle])
    with pytest.raises(Killed):
        run(bundle, tmp_path / "killed", data[bundle], stop_after=RUNS[bundle][1] - 1)
    before = torch.load(tmp_path / "killed/checkpoint.pt", weights_only=True)
    assert 0 < before["iteration"] < RUNS[bundle][1] and before["epoch"] < 3
    trainer = run(bundle, tmp_path / "killed", data[bundle], num_workers=1, resume=True)
    assert trainer.state.epoch == 3
    assert left(tmp_path / "killed") == left(tmp_path / "alone")


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """A fine-tuning of one epoch, from weights; each test gets a copy."""
    root = tmp_path_factory.mktemp("finished")
    path, _ = weights(root)
    run("segmentation", root / "out", data["segmentation"], max_epochs=1, scheme="full", weights=str(path), width=4)
    return root / "out", path


@pytest.fixture
def go_on(finished, data, tmp_path):
    out, path = finished
    shutil.copytree(out, tmp_path / "out")

    def resumed(dataset_dir=data["segmentation"], **more):
        given = {"max_epochs": 1, "scheme": "full", "weights": str(path), "width": 4, "resume": True}
        return run("segmentation", tmp_path / "out", dataset_dir, **(given | more))

    return resumed


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"batch_size": 2}, "`batch_size` was 1 and is now 2"),
        (
            {"labels": {"lung": 2, "heart": 1}},
            '`labels` was {"lung": 1, "heart": 2} and is now {"lung": 2, "heart": 1}',
        ),
        ({"roi_size": [16, 16, 8]}, r"`roi_size` was \[16, 16, 16\] and is now \[16, 16, 8\]"),
        ({"optimizer#weight_decay": 0.5}, '"weight_decay": 0.01.* and is now .*"weight_decay": 0.5'),
        ({"weights": ""}, r"`weights` was a file with sha256 \w{12} and is now not given"),
        (
            {"val_share": 0.4},
            "`val_share` was 0.2 and is now 0.4",
        ),
        ({"lr": 0.02, "batch_size": 2}, "`batch_size` was 1 and is now 2"),
    ],
)
def test_another_run_is_refused_with_both_values(go_on, tmp_path, change, said):
    before = left(tmp_path / "out")
    with pytest.raises(ValueError, match=f"is that of another run: .*{said}"):
        go_on(**change)
    assert left(tmp_path / "out") == before


def test_other_data_under_the_same_names_is_refused_and_the_same_elsewhere_is_not(go_on, data, tmp_path):
    shutil.copytree(data["segmentation"], tmp_path / "moved")
    go_on(tmp_path / "moved")
    other = tmp_path / "moved/labelsTr"
    shutil.copy(other / "p0.nii.gz", other / "p1.nii.gz")
    with pytest.raises(ValueError, match=r"`training cases` was 2 with fingerprint .* and is now 2 with fingerprint"):
        go_on(tmp_path / "moved")


def test_a_finished_run_has_nothing_left_to_do_and_says_so(go_on, tmp_path, caplog):
    before = left(tmp_path / "out")
    assert go_on().state.epoch == 1
    assert "has already trained 1 epochs and `max_epochs` is 1: nothing is left to do" in caplog.text
    assert left(tmp_path / "out") == before


def test_a_longer_plan_and_another_rate_are_told_and_followed(go_on, caplog):
    trainer = go_on(max_epochs=4, lr=0.01, head_lr=0.02)
    for name, before, now in (("max_epochs", 1, 4), ("head_lr", 0.01, 0.02)):
        assert f"`{name}` was {before} and is now {now}" in caplog.text
    # after four epochs of four the polynomial is 0, and it was not after the first one
    assert trainer.state.epoch == 4 and [group["lr"] for group in trainer.optimizer.param_groups] == [0, 0]
    assert [group["initial_lr"] for group in trainer.optimizer.param_groups] == [0.01, 0.02]


def test_a_used_folder_is_refused_or_moved_aside(go_on, finished, data, tmp_path):
    out, before = tmp_path / "out", left(tmp_path / "out")
    with pytest.raises(RuntimeError) as caught:
        go_on(resume=False)
    assert "holds the results of an earlier run (checkpoint.pt, model.pt, model.json)" in str(caught.value.__cause__)
    go_on(resume=False, overwrite=True)
    (kept,) = (out / "earlier").iterdir()
    assert left(kept) == before == left(out)


def test_a_folder_of_models_keeps_them_until_a_better_one_is_there(tmp_path):
    """As MONAI Label needs it: what it serves is never missing, and no model is lost."""
    out, models = tmp_path / "out", tmp_path / "models"
    models.mkdir()
    (models / "model.pt").write_text("first")
    with pytest.raises(ValueError, match=r"`ckpt_dir` .* holds a model of an earlier run: `--overwrite true`"):
        begin_run(str(out), str(models), "bundle")
    begin_run(str(out), str(models), "bundle", overwrite=True)
    (kept,) = (out / "earlier").iterdir()
    assert (kept / "model.pt").read_text() == (models / "model.pt").read_text() == "first"


@pytest.mark.parametrize(
    ("options", "said"),
    [({"resume": True, "overwrite": True}, "give one of them"), ({"resume": "x.pt"}, "are true or false, got 'x.pt'")],
)
def test_what_cannot_be_meant_is_refused(tmp_path, options, said):
    with pytest.raises(ValueError, match=said):
        begin_run(str(tmp_path), str(tmp_path), "bundle", **options)


def test_results_do_not_go_into_a_bundle_unasked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"would go into the bundle itself .*: give an `output_dir`"):
        begin_run(f"finetuned/{tmp_path.name}", "models", ".")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("bundle", RUNS)
def test_every_option_is_recorded_or_known_to_change_nothing(bundle):
    """A new option of ``train.json`` belongs into ``recorder#params``, by which a run that continues is compared."""
    config = json.loads((ROOT / bundle / "configs/train.json").read_text())
    places = {"bundle_root", "dataset_dir", "datalist", "patients", "output_dir", "ckpt_dir", "memory"}
    free = {"resume", "overwrite", "num_workers", "cache_rate", "device"}
    derived = {"num_classes", "window", "spatial_dims", "network", "pretrained", "normalization"}
    options = {
        k for k, v in config.items() if not isinstance(v, (dict, list)) or k in ("labels", "classes", "roi_size")
    }
    assert options - {"loss"} <= config["recorder"]["params"].keys() | places | free | derived


@pytest.mark.parametrize("higher", [True, False])
def test_a_validation_without_a_number_is_no_best_one(tmp_path, higher):
    network, metrics = nn.Linear(1, 1), iter([math.nan, 0.5, math.nan, 0.4, 0.6])
    batches = [{"image": torch.ones(1, 1), "label": torch.ones(1, 1)}]
    measure = EpochMetric(lambda *_: next(metrics), lambda output: (torch.ones(1), torch.ones(1)), False)
    evaluator = SupervisedEvaluator("cpu", batches, network, key_val_metric={"key": measure})
    KeepBest(network, tmp_path, higher).attach(evaluator)
    kept = []
    for epoch in range(1, 6):
        nn.init.constant_(network.weight, epoch)
        evaluator.run(epoch)
        kept.append(int(torch.load(tmp_path / "model.pt", weights_only=True)["weight"]))
    assert kept == ([1, 2, 2, 2, 5] if higher else [1, 2, 2, 4, 4])


@pytest.mark.parametrize(("begun", "ended"), [(0, 6), (4, 6), (9, 9)])
def test_patience_counts_from_the_best_epoch_in_a_run_of_one_piece_and_in_one_that_goes_on(begun, ended):
    validator = Engine(lambda engine, batch: None)
    validator.state.best_metric_epoch = min(begun, 3) or -1
    trainer = Engine(lambda engine, batch: None)

    @trainer.on(Events.STARTED)
    def go_on():
        trainer.state.epoch, trainer.state.iteration = begun, 2 * begun

    @trainer.on(Events.EPOCH_COMPLETED(every=3))
    def validate():
        validator.state.best_metric_epoch = 3 if trainer.state.epoch == 3 else validator.state.best_metric_epoch

    StopEarly(validator, 3).attach(trainer)
    trainer.run([0, 0], max_epochs=20)
    assert trainer.state.epoch == ended
    with pytest.raises(ValueError, match="`patience` must be at least 1"):
        StopEarly(validator, 0)
