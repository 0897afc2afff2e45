import pytest
import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer
from torch import nn

from monai_ssl.handlers.measurements import Measurements
from monai_ssl.tasks.record import SupervisedRecord


class Recorder:
    """Notes what Tracking would read."""

    def __init__(self):
        self.seen = []

    def attach(self, engine):
        engine.state.metrics = Measurements()
        for event in (Events.STARTED, Events.ITERATION_COMPLETED, Events.EPOCH_COMPLETED, Events.COMPLETED):
            engine.add_event_handler(event, self.note, event.name)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self.fail)

    def note(self, engine, name):
        loss = {key: value.ndim for key, value in engine.state.output.items()}
        rates = [group["lr"] for o in engine.optimizers.values() for group in o.param_groups]
        self.seen.append((name, engine.state.iteration, loss, engine.state.metrics.new(), rates))

    def fail(self, engine, error):
        self.seen.append(type(error).__name__)
        raise error


class Scores:
    """A score of training after each epoch, one of validation after every second."""

    def __init__(self, validator):
        self.validator = validator
        validator.add_event_handler(Events.COMPLETED, lambda e: e.state.metrics.update(val_mean_dice=0.5))

    def attach(self, engine):
        engine.add_event_handler(Events.EPOCH_COMPLETED, lambda e: e.state.metrics.update(train_mean_dice=0.6))
        engine.add_event_handler(Events.EPOCH_COMPLETED(every=2), lambda e: self.validator.run([0]))


def trainer(recorder, loss=None):
    validator, network = Engine(lambda *_: None), nn.Linear(2, 1)
    return SupervisedTrainer(
        torch.device("cpu"),
        3,
        [{"image": torch.rand(3, 2), "label": torch.rand(3, 1)}] * 2,
        network,
        torch.optim.SGD(network.parameters(), lr=0.1),
        loss or nn.MSELoss(),
        train_handlers=[Scores(validator), SupervisedRecord(recorder, validator)],
    )


def test_a_recorder_sees_losses_rates_and_each_metric_of_both_engines_once():
    recorder = Recorder()
    trainer(recorder).run()
    train, rates, loss = {"train_mean_dice": 0.6}, [0.1], {"loss": 0}
    both = {"val_mean_dice": 0.5, **train}
    assert recorder.seen == [
        ("STARTED", 0, {}, {}, rates),
        ("ITERATION_COMPLETED", 1, loss, {}, rates),
        ("ITERATION_COMPLETED", 2, loss, {}, rates),
        ("EPOCH_COMPLETED", 2, loss, train, rates),
        ("ITERATION_COMPLETED", 3, loss, {}, rates),
        ("ITERATION_COMPLETED", 4, loss, {}, rates),
        ("EPOCH_COMPLETED", 4, loss, both, rates),
        ("ITERATION_COMPLETED", 5, loss, {}, rates),
        ("ITERATION_COMPLETED", 6, loss, {}, rates),
        ("EPOCH_COMPLETED", 6, loss, train, rates),
        ("COMPLETED", 6, loss, {}, rates),
    ]


def test_a_recorder_hears_of_an_exception_and_the_run_stops():
    def broken(prediction, truth):
        raise FloatingPointError("nan")

    recorder = Recorder()
    with pytest.raises(FloatingPointError):
        trainer(recorder, broken).run()
    assert recorder.seen[-1] == "FloatingPointError"
