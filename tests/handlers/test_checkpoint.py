"""A run that was stopped continues bit for bit."""

import copy
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from ignite.engine import Events

from monai_ssl.data.windows import WindowDataset, endless_loader
from monai_ssl.engines import SSLTrainer
from monai_ssl.handlers import Checkpoint, LearningRate, RunFolder
from monai_ssl.methods import PCRLv2
from monai_ssl.networks import ConvEncoder, PyramidUNet
from monai_ssl.schedules import cosine
from monai_ssl.transforms import (
    BatchViews,
    RandAffineBatchd,
    RandGaussianNoiseBatchd,
    RandIoUPairCropd,
    Separatelyd,
    Snapshotd,
    ZScored,
)

KEYS = ["view1", "view2", "locals"]


def build(output_dir, epochs, workers=0, resume=False, seed=0, batch_size=2, **options):
    """PCRLv2 as its bundle runs it, on small scans."""
    torch.manual_seed(5)
    method = PCRLv2(PyramidUNet(ConvEncoder(widths=(2, 4, 8, 16))))
    crop = RandIoUPairCropd(
        "image",
        out_size=(16, 16, 8),
        sizes=[(16, 16, 8), (20, 20, 12)],
        background=None,
        num_locals=2,
        local_sizes=[(8, 8, 8)],
        local_out_size=(8, 8, 8),
    )
    views = BatchViews(
        [
            Separatelyd(KEYS, [RandAffineBatchd("image")]),
            Snapshotd(["view1", "view2"], ["target1", "target2"]),
            Separatelyd(KEYS, [RandGaussianNoiseBatchd("image")]),
            ZScored(KEYS),
        ]
    )
    g = torch.Generator().manual_seed(1)
    scans = [torch.rand(1, 24, 24, 16, generator=g) for _ in range(4)]
    loader = endless_loader(WindowDataset(scans, [crop], seed, 2), batch_size, workers, seed=seed)
    optimizer = torch.optim.SGD(method.parameters(), 0.1, momentum=0.9)
    checkpoint = Checkpoint(output_dir, resume, **options)
    handlers = [RunFolder(output_dir, resume), LearningRate(cosine(0.1, 0)), checkpoint]
    return SSLTrainer("cpu", epochs, loader, method, optimizer, views=views, train_handlers=handlers, seed=seed)


def same(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def saved(folder):
    state = torch.load(Path(folder) / "checkpoint.pt", weights_only=True)
    return {k: state[k] for k in ("method", "optimizers", "iteration", "epoch", "rng", "scaler", "samples_seen")}


class Stop(Exception):
    pass


def stop_after(trainer, iteration):
    def check(engine):
        if engine.state.iteration == iteration:
            raise Stop

    trainer.add_event_handler(Events.ITERATION_COMPLETED, check)


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("stop", [4, 6])
def test_a_stopped_run_equals_one_that_was_not(tmp_path, workers, stop):
    build(tmp_path / "whole", 2, workers).run()
    first = build(tmp_path / "parts", 2, workers, every_iterations=2)
    stop_after(first, stop)
    with pytest.raises(Stop):
        first.run()
    build(tmp_path / "parts", 2, workers, resume=True, every_iterations=2).run()
    assert same(saved(tmp_path / "whole"), saved(tmp_path / "parts"))


def test_continues_with_another_number_of_workers(tmp_path):
    build(tmp_path / "whole", 2, 0).run()
    first = build(tmp_path / "parts", 2, 0)
    stop_after(first, 5)
    with pytest.raises(Stop):
        first.run()
    build(tmp_path / "parts", 2, 1, resume=True).run()
    assert same(saved(tmp_path / "whole"), saved(tmp_path / "parts"))


def test_loads_with_plain_values_only_and_holds_what_a_reader_needs(tmp_path):
    build(tmp_path, 1, config={"preset": "paper"}).run()
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert state["epoch"] == 1 and state["iteration"] == 4 and state["samples_seen"] == 8
    assert state["config"] == {"preset": "paper"} and "torch" in state["versions"]


def test_a_finished_run_has_nothing_left_to_do_and_ends_well(tmp_path, caplog):
    build(tmp_path, 1).run()
    before = saved(tmp_path)
    build(tmp_path, 1, resume=True).run()
    assert same(before, saved(tmp_path)) and "nothing is left to do" in caplog.text


@pytest.mark.parametrize("older", [True, False])
def test_a_kill_between_checkpoint_and_best_is_repaired(tmp_path, older):
    scored(tmp_path, [0.5]).run()
    before = (tmp_path / "best.pt").read_bytes()
    scored(tmp_path, [0.5, 0.2], resume=True).run()
    (tmp_path / "best.pt").write_bytes(before) if older else (tmp_path / "best.pt").unlink()
    scored(tmp_path, [0.5, 0.2], resume=True).run()
    best, newest = (torch.load(tmp_path / name, weights_only=True) for name in ("best.pt", "checkpoint.pt"))
    assert best["epoch"] == 2 and same(best["method"], newest["method"])


def test_the_best_score_under_a_former_name_is_still_the_one_to_beat(tmp_path):
    scored(tmp_path, [0.2]).run()
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    state["best"]["name"] = "held_out/loss"  # the former name
    torch.save(state, tmp_path / "checkpoint.pt")
    scored(tmp_path, [0.2, 0.5], resume=True).run()
    best = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["best"]
    assert (best["name"], best["epoch"]) == ("validation/loss", 1)


def test_another_network_is_refused(tmp_path):
    build(tmp_path, 1).run()
    other = build(tmp_path, 2, resume=True)
    other.method.network.encoder.stages[0].conv1 = torch.nn.Conv3d(1, 3, 3)
    with pytest.raises(ValueError, match="another method or network"):
        other.run()


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        build(tmp_path, 1, resume=tmp_path / "none.pt").run()
    torch.save({"a": 1}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="no checkpoint of monai_ssl"):
        build(tmp_path, 1, resume=tmp_path / "other.pt").run()


def test_another_batch_size_continues_at_the_same_sample(tmp_path):
    build(tmp_path, 1, batch_size=2).run()
    run = build(tmp_path, 2, resume=True, batch_size=4)
    run.run()
    assert run.state.iteration == 4 and run.data_loader.batch_sampler.start == 8


def scored(folder, metrics, **options):
    """A trainer that has these metrics in its epochs, a dictionary each; a number is a validation loss."""
    run = build(folder, len(metrics), **options)

    @run.on(Events.EPOCH_STARTED)
    def score(engine):
        found = metrics[engine.state.epoch - 1]
        engine.state.metrics = found if isinstance(found, dict) else {"validation/loss": found}

    return run


@pytest.mark.parametrize("every_epochs", [1, 3])
def test_the_best_epoch_is_kept(tmp_path, every_epochs):
    """Though it may not be one to save."""
    run, states = scored(tmp_path, [0.5, 0.2, 0.9], every_epochs=every_epochs), []
    run.add_event_handler(Events.EPOCH_COMPLETED, lambda e: states.append(copy.deepcopy(e.method.state_dict())))
    run.run()
    best = torch.load(tmp_path / "best.pt", weights_only=True)
    assert best["epoch"] == best["best"]["epoch"] == 2 and best["best"]["value"] == 0.2
    assert same(best["method"], dict(states[1]))


@pytest.mark.parametrize(
    ("metrics", "epoch"),
    [
        ([{"validation/loss": 0.01}, {"validation/loss": 0.02, "probe/knn": 0.3}, {"probe/knn": 0.2}], 2),
        # as after a continuation, before the next probe
        ([{"probe/knn": 0.3}, {"validation/loss": 0.9}], 1),
    ],
)
def test_scores_of_two_names_are_not_compared(tmp_path, metrics, epoch):
    scored(tmp_path, metrics).run()
    best = torch.load(tmp_path / "best.pt", weights_only=True)["best"]
    assert (best["name"], best["epoch"]) == ("probe/knn", epoch)


@pytest.mark.parametrize(
    ("losses", "resume_after", "last"),
    [
        ([0.5, 0.4, 0.45, 0.39, 0.4, 0.41, 0.3], None, 6),
        ([0.5, 0.4, 0.45, 0.39, 0.4, 0.41, 0.3], 5, 6),
        ([0.5, 0.4, 0.3], None, 3),
        # as good is not better
        ([0.5, 0.5, 0.5, 0.4], None, 3),
    ],
)
def test_a_run_ends_when_patience_does(tmp_path, losses, resume_after, last):
    run = scored(tmp_path, losses, patience=2)
    if resume_after is not None:
        run.add_event_handler(Events.EPOCH_COMPLETED(once=resume_after), lambda e: e.terminate())
        run.run()
        run = scored(tmp_path, losses, patience=2, resume=True)
    run.run()
    assert run.state.epoch == last


def test_patience_needs_something_to_wait_for(tmp_path):
    with pytest.raises(ValueError, match="`patience` is a number of epochs of at least 1"):
        build(tmp_path, 1, patience=0)
    with pytest.raises(ValueError, match="`patience` needs a validation loss or a probe"):
        build(tmp_path, 2, patience=1).run()


@pytest.mark.parametrize("name", ["checkpoint.pt", "pictures/epoch_0001.png"])
def test_what_a_killed_run_was_writing_is_swept(tmp_path, name):
    left = (tmp_path / name).with_name(f".aside-4711-{Path(name).name}")
    left.parent.mkdir(exist_ok=True)
    left.write_bytes(b"half")
    build(tmp_path, 1, resume=True).run()
    assert not left.exists() and (tmp_path / "checkpoint.pt").is_file()


CHILD = """
import sys, time
sys.path[:0] = [{root!r}, {tests!r}]
from ignite.engine import Events
from test_checkpoint import build
run = build({out!r}, 2, {workers}, resume=True, every_iterations=1)
run.add_event_handler(Events.ITERATION_COMPLETED, lambda e: (print(e.state.iteration, flush=True), time.sleep(0.3)))
run.run()
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_killed_by_the_system_and_continued(tmp_path, workers):
    build(tmp_path / "whole", 2, 0).run()
    here = Path(__file__).parent
    out = str(tmp_path / "parts")
    code = CHILD.format(root=str(here.parents[1]), tests=str(here), out=out, workers=workers)
    for stop in (3, 5):
        child = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        for line in child.stdout:
            if line.strip() == str(stop):
                break
        time.sleep(0.1)
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    whole, parts = saved(tmp_path / "whole"), saved(tmp_path / "parts")
    # the global generators of a process have a history of their own; nothing of the run draws from them
    del whole["rng"], parts["rng"]
    assert same(whole, parts)
    assert not list((tmp_path / "parts").glob(".*part"))


@pytest.mark.parametrize(
    ("now", "refused"),
    [
        ({"widths": [4], "network_def#widths": [4]}, "`widths` was [2] and is now [4]. Give"),
        ({"views#0#prob": 0.5}, "`views#0#prob` was 0.1 and is now 0.5. Give"),
        ({"views#1#_target_": "Noise"}, "`views#1#_target_` was null and is now Noise. Give"),
        ({"lr": 0.2, "batch_size": 4, "train#trainer#clip_norm": 1.0}, None),
        ({"of another version": 1}, None),
    ],
)
def test_another_run_is_refused_by_the_keys_that_changed(tmp_path, caplog, now, refused):
    config = {"widths": [2], "network_def#widths": [2], "views#0#prob": 0.1, "lr": 0.1, "batch_size": 2}
    config["train#trainer#clip_norm"] = None
    build(tmp_path, 1, config=config).run()
    again = {"resume": True, "config": config | now}
    if refused is None:
        build(tmp_path, 2, **again).run()
        assert ("`lr` was 0.1 and is now 0.2" in caplog.text) == ("lr" in now)
        return
    with pytest.raises(ValueError, match=re.escape(refused)):
        build(tmp_path, 2, **again).run()
    # by name it is the user's wish
    build(tmp_path, 2, **again | {"resume": tmp_path / "checkpoint.pt"}).run()
    assert refused.partition(". ")[0] in caplog.text and saved(tmp_path)["epoch"] == 2


def test_an_option_of_the_optimizer_that_was_changed_is_that_of_the_run(tmp_path):
    key = "optimizers#losses#groups#0#momentum"
    build(tmp_path, 1, config={key: 0.9}).run()
    for config, momentum in (({key: 0.5}, 0.5), ({}, 0.9)):
        run = build(tmp_path, 2, resume=True, config=config)
        run.optimizer.param_groups[0]["momentum"] = 0.5
        run.add_event_handler(Events.STARTED, lambda engine: engine.terminate())
        run.run()
        assert run.optimizer.param_groups[0]["momentum"] == momentum


def test_a_run_that_ended_for_want_of_patience_has_nothing_left_to_do(tmp_path):
    losses = [0.5, 0.6, 0.7, 0.1]
    scored(tmp_path, losses, patience=2).run()
    again = scored(tmp_path, losses, patience=2, resume=True)
    again.run()
    assert again.state.epoch == 3
