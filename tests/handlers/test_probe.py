"""Probes of frozen features."""

import copy

import pytest
import torch
from ignite.engine import Events
from toy_training import Toy, labeled, said, ssl_trainer

from monai_ssl.handlers import Checkpoint, Probe


@pytest.mark.parametrize("test", [None, labeled(10, seed=1)])
def test_what_can_be_seen_is_found(test):
    trainer = ssl_trainer([Probe(labeled(), test, batch_size=7)])
    assert said(trainer.run) == [], "nothing is better than all"
    assert trainer.state.metrics["probe/knn"] == 1.0
    assert trainer.state.metrics["probe/linear"] == 1.0


def test_what_cannot_be_seen_is_not_found():
    items = [{"image": torch.rand(1, 8, 8), "label": i % 2} for i in range(60)]
    trainer = ssl_trainer([Probe(items)])
    trainer.run()
    assert trainer.state.metrics["probe/knn"] < 0.75 and trainer.state.metrics["probe/linear"] < 0.75


def test_images_of_one_patient_do_not_serve_each_other():
    g = torch.Generator().manual_seed(0)
    patients = [torch.rand(1, 8, 8, generator=g) for _ in range(15)]
    twice = [{"image": patients[i], "label": i % 2} for i in range(15) for _ in range(2)]
    named = [{**item, "group": i // 2} for i, item in enumerate(twice)]
    leaked, clean = ssl_trainer([Probe(twice, k=1)]), ssl_trainer([Probe(named, k=1)])
    said(leaked.run)
    said(clean.run)
    assert leaked.state.metrics["probe/knn"] == 1.0 and clean.state.metrics["probe/knn"] < 0.9


def spoil(engine):
    """Training that ends with features which say nothing."""
    with torch.no_grad():
        for parameter in engine.method.encoder.parameters():
            parameter.zero_()


def test_the_untrained_network_stands_beside_and_no_gain_is_said():
    seen = labeled()
    trainer = ssl_trainer([Probe(seen)], epochs=2)
    untrained = Probe(seen)._scores(trainer)
    trainer.add_event_handler(Events.ITERATION_COMPLETED, spoil)
    (message,) = said(trainer.run)
    assert "probe/linear is 0.500, and was 1.000 at the start" in message
    names = ("probe/knn_at_start", "probe/linear_at_start")
    assert tuple(trainer.state.metrics[name] for name in names) == untrained == (1.0, 1.0)
    assert trainer.state.metrics["probe/linear"] == 0.5


def test_a_gain_is_no_matter_and_a_continuation_has_no_start():
    trainer = ssl_trainer([Probe(labeled(), every=2)], epochs=3)
    trainer.add_event_handler(Events.STARTED, spoil)
    fresh = copy.deepcopy(trainer.method.encoder.state_dict())
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: engine.method.encoder.load_state_dict(fresh))
    assert said(trainer.run) == []
    assert (trainer.state.metrics["probe/linear_at_start"], trainer.state.metrics["probe/linear"]) == (0.5, 1.0)
    trainer.state.metrics.clear()
    trainer.state.max_epochs = 4
    trainer.run()
    assert trainer.state.epoch == 4 and set(trainer.state.metrics) == {"probe/knn", "probe/linear"}


def test_refusals():
    with pytest.raises(ValueError, match=r"`every` of `Probe`.* got 0"):
        Probe([], every=0)
    with pytest.raises(ValueError, match="all of one class"):
        ssl_trainer([Probe([{"image": torch.rand(1, 8, 8), "label": 1}] * 3)]).run()
    with pytest.raises(ValueError, match=r"must be of one shape, got \[\(1, 8, 8\), \(1, 8, 9\)\]"):
        items = [{"image": torch.rand(1, 8, 8 + i), "label": i} for i in range(2)]
        ssl_trainer([Probe(items)]).run()


class Diverging(Toy):
    """Represents images by NaN once it has been trained."""

    def representation(self, x):
        return super().representation(x) * (float("nan") if self.seen else 1.0)


def test_a_probe_that_fails_is_said_once_and_does_not_end_the_run(tmp_path):
    """Nor does patience, which has no score to wait for."""
    checkpoint = Checkpoint(tmp_path, patience=1)
    trainer = ssl_trainer([Probe(labeled()), checkpoint], epochs=3, method=Diverging())
    checkpoint.best = {"name": "probe/linear", "value": 0.9, "better": 0.9, "epoch": 0}
    (text,) = said(trainer.run)
    assert text.startswith("`Probe` failed in iteration 4; training goes on")
    assert trainer.state.epoch == 3 and "probe/linear" not in trainer.state.metrics
