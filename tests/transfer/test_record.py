import pytest
import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer
from torch import nn

from monai_ssl.transfer import SupervisedRecord


class Recorder:
    """Notes what Tracking would read."""

    def __init__(self):
        self.seen = []

    def attach(self, engine):
        for event in (Events.STARTED, Events.ITERATION_COMPLETED, Events.EPOCH_COMPLETED, Events.COMPLETED):
            engine.add_event_handler(event, self.note, event.name)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self.fail)

    def note(self, engine, name):
        loss = {key: value.ndim for key, value in engine.state.output.items()}
        rates = [group["lr"] for o in engine.optimizers.values() for group in o.param_groups]
        self.seen.append((name, engine.state.iteration, loss, dict(engine.state.metrics), rates))

    def fail(self, engine, error):
        self.seen.append(type(error).__name__)
        raise error


def trainer(recorder, loss=None):
    validator = Engine(lambda *_: None)
    validator.state.metrics = {"val_mean_dice": 0.5}
    network = nn.Linear(2, 1)
    return SupervisedTrainer(
        torch.device("cpu"),
        1,
        [{"image": torch.rand(3, 2), "label": torch.rand(3, 1)}] * 2,
        network,
        torch.optim.SGD(network.parameters(), lr=0.1),
        loss or nn.MSELoss(),
        train_handlers=[SupervisedRecord(recorder, validator)],
    )


def test_a_recorder_sees_losses_rates_and_metrics_of_both_engines():
    recorder = Recorder()
    trainer(recorder).run()
    metrics, rates = {"val_mean_dice": 0.5}, [0.1]
    assert recorder.seen == [
        ("STARTED", 0, {}, metrics, rates),
        ("ITERATION_COMPLETED", 1, {"loss": 0}, metrics, rates),
        ("ITERATION_COMPLETED", 2, {"loss": 0}, metrics, rates),
        ("EPOCH_COMPLETED", 2, {"loss": 0}, metrics, rates),
        ("COMPLETED", 2, {"loss": 0}, metrics, rates),
    ]


def test_a_recorder_hears_of_an_exception_and_the_run_stops():
    def broken(prediction, truth):
        raise FloatingPointError("nan")

    recorder = Recorder()
    with pytest.raises(FloatingPointError):
        trainer(recorder, broken).run()
    assert recorder.seen[-1] == "FloatingPointError"
